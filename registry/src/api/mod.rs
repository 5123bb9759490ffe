//! `/api/v1`: what the page, scripts and the command line use. JSON in, JSON out.

mod accounts;
mod audit;
pub mod caller;
mod check;
mod error;
mod gc;
mod groups;
mod import;
pub mod input;
mod lines;
mod openapi;
mod policy;
mod quotas;
mod recorded;
mod repositories;
mod robots;
mod sites;
mod tokens;
mod users;

use axum::{
    Json, Router,
    middleware::from_fn_with_state,
    routing::{any, get, post},
};
pub use caller::{Administrator, Caller};
pub use error::{Error, Result};
pub use input::{Input, Parameters};
use serde_json::{Value, json};

use crate::app::Services;

/// The routes under `/api/v1`.
pub fn router(services: Services) -> Router {
    Router::new()
        .route("/api/v1", get(version))
        .merge(audit::routes())
        .merge(openapi::routes())
        .merge(policy::routes())
        .merge(users::routes())
        .merge(groups::routes())
        .merge(robots::routes())
        .merge(gc::routes())
        .route("/api/v1/check", post(check::check))
        .route("/api/v1/import", post(import::import))
        .merge(quotas::router())
        .merge(tokens::routes())
        .merge(repositories::routes())
        .route("/api/v1/{*rest}", any(unknown))
        .layer(from_fn_with_state(services.clone(), recorded::recorded))
        .layer(from_fn_with_state(services.clone(), sites::same_site))
        .with_state(services)
}

async fn version() -> Json<Value> {
    Json(json!({ "name": "berth-registry", "version": env!("CARGO_PKG_VERSION") }))
}

async fn unknown() -> Error {
    no_endpoint()
}

fn no_endpoint() -> Error {
    Error::Unknown("there is no such endpoint; GET /api/v1/openapi.json lists them".to_owned())
}

#[cfg(test)]
mod tests;
