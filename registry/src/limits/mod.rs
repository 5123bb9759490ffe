//! What one client, user or namespace may take of the registry: rates of requests here, and what the
//! configuration says of quotas. No axum, no sqlx here.

mod quotas;
mod rate;

pub use quotas::{QuotaRule, QuotaRules};
pub use rate::{Rate, RateLimited, RateSettings, Rates, Work};
