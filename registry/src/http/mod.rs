//! HTTP: the only place that knows axum.

pub mod serve;
