//! `/api/v1`: what the page, scripts and the command line use. JSON in, JSON out.

pub mod caller;
mod error;
mod gc;

use axum::{Json, Router, routing::get};
pub use caller::{Administrator, Caller};
pub use error::{Error, Result};
use serde_json::{Value, json};

use crate::app::Services;

/// The routes under `/api/v1`.
pub fn router(services: Services) -> Router {
    Router::new().route("/api/v1", get(version)).merge(gc::routes()).with_state(services)
}

async fn version() -> Json<Value> {
    Json(json!({ "name": "berth-registry", "version": env!("CARGO_PKG_VERSION") }))
}
