//! `/api/v1`: what the page, scripts and the command line use. JSON in, JSON out.

pub mod caller;
mod check;
mod error;
mod import;
mod lines;

use axum::{
    Json, Router,
    routing::{get, post},
};
pub use caller::{Administrator, Caller};
pub use error::{Error, Result};
use serde_json::{Value, json};

use crate::app::Services;

/// The routes under `/api/v1`.
pub fn router(services: Services) -> Router {
    Router::new()
        .route("/api/v1", get(version))
        .route("/api/v1/check", post(check::check))
        .route("/api/v1/import", post(import::import))
        .with_state(services)
}

async fn version() -> Json<Value> {
    Json(json!({ "name": "berth-registry", "version": env!("CARGO_PKG_VERSION") }))
}
