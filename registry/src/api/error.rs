//! The one table from what can go wrong under `/api/v1` to what goes over the wire:
//! `{"error": {"code": "…", "message": "…"}}`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::catalog::{BoxError, CatalogError};

/// An endpoint's answer.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that a request to `/api/v1` can end with but success.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Credentials are missing or wrong.
    #[error("{why}")]
    Unauthorized {
        /// `WWW-Authenticate`.
        challenge: Option<String>,
        /// What is wrong.
        why: String,
    },
    /// The policy says no.
    #[error("{0}")]
    Denied(String),
    /// What was sent breaks a rule, which the sentence names.
    #[error("{0}")]
    Invalid(String),
    /// What was sent is not said to be JSON.
    #[error("send JSON, as Content-Type: application/json")]
    MediaType,
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// It is there already, or in a state that does not let this happen.
    #[error("{0}")]
    Conflict(String),
    /// Too many requests; seconds until the next is looked at.
    #[error("too many requests; try again in {0} s")]
    Throttled(u64),
    /// The catalog failed.
    #[error("the catalog does not answer; try again")]
    Catalog(#[from] CatalogError),
    /// What should not be: logged, never sent.
    #[error("the registry failed; its log says more")]
    Internal(#[source] BoxError),
}

impl Error {
    fn row(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Denied(_) => (StatusCode::FORBIDDEN, "denied"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type"),
            Self::Unknown(_) => (StatusCode::NOT_FOUND, "unknown"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Throttled(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Catalog(CatalogError::Unavailable(_)) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Catalog(CatalogError::Corrupt(_)) | Self::Internal(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.row();
        if status.is_server_error() {
            let cause = std::error::Error::source(&self).map(ToString::to_string).unwrap_or_default();
            tracing::error!("A request to /api/v1 failed: {self} ({cause})");
        }
        let mut response =
            (status, Json(json!({ "error": { "code": code, "message": self.to_string() } }))).into_response();
        let headers = response.headers_mut();
        let retry = |seconds: u64| (header::RETRY_AFTER, HeaderValue::from(seconds));
        match &self {
            Self::Unauthorized { challenge: Some(challenge), .. } => {
                crate::http::headers::insert(headers, header::WWW_AUTHENTICATE, challenge);
            }
            Self::Throttled(seconds) => headers.extend([retry(*seconds)]),
            Self::Catalog(CatalogError::Unavailable(_)) => headers.extend([retry(5)]),
            _ => {}
        }
        response
    }
}
