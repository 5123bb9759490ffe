//! The one table from what the token server refuses to what goes over the wire. Docker and containerd read
//! `errors`, older Dockers `details`, OAuth2's clients `error` and `error_description`: all are there.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use berth_oci::ErrorCode;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{auth::AuthError, catalog::CatalogError};

/// Everything that a request for a token can end with but a token.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The credentials of a GET are wrong.
    Credentials(String),
    /// What a POST shows is wrong: a password, a refresh token, a token of an outside issuer.
    Grant(String),
    /// The request is malformed, or for another server.
    Request(String),
    /// Too much is asked for.
    Scope(String),
    /// A way of asking that is not known here.
    GrantType,
    /// Neither GET nor POST.
    Method,
    /// Too many failed attempts.
    TooMany(u64),
    /// The catalog failed.
    Catalog(CatalogError),
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid(why) => Self::Credentials(why),
            AuthError::TooMany { retry_after } => Self::TooMany(retry_after),
            AuthError::Catalog(error) => Self::Catalog(error),
        }
    }
}

impl Refusal {
    /// The same where OAuth2's rules hold (RFC 6749, 5.2).
    pub(super) fn grant(error: AuthError) -> Self {
        match Self::from(error) {
            Self::Credentials(why) => Self::Grant(why),
            other => other,
        }
    }

    fn row(&self) -> (StatusCode, ErrorCode, &'static str, String) {
        use ErrorCode as C;
        use StatusCode as S;
        match self {
            Self::Credentials(why) => (S::UNAUTHORIZED, C::Unauthorized, "invalid_client", why.clone()),
            Self::Grant(why) => (S::BAD_REQUEST, C::Unauthorized, "invalid_grant", why.clone()),
            Self::Request(why) => (S::BAD_REQUEST, C::Unsupported, "invalid_request", why.clone()),
            Self::Scope(why) => (S::BAD_REQUEST, C::Unsupported, "invalid_scope", why.clone()),
            Self::GrantType => (
                S::BAD_REQUEST,
                C::Unsupported,
                "unsupported_grant_type",
                "grant_type is password, refresh_token or urn:ietf:params:oauth:grant-type:token-exchange"
                    .to_owned(),
            ),
            Self::Method => (
                S::METHOD_NOT_ALLOWED,
                C::Unsupported,
                "invalid_request",
                "a token is had by GET or POST".to_owned(),
            ),
            Self::TooMany(seconds) => (
                S::TOO_MANY_REQUESTS,
                C::TooManyRequests,
                "temporarily_unavailable",
                format!("too many attempts; try again in {seconds} s"),
            ),
            Self::Catalog(CatalogError::Unavailable(_)) => (
                S::SERVICE_UNAVAILABLE,
                C::Unavailable,
                "temporarily_unavailable",
                "the catalog does not answer; try again".to_owned(),
            ),
            // The detail is ours alone: logged, never sent.
            Self::Catalog(CatalogError::Corrupt(_)) => (
                S::INTERNAL_SERVER_ERROR,
                C::Unknown,
                "server_error",
                "the registry failed; its log says more".to_owned(),
            ),
        }
    }

    /// The answer.
    pub(super) fn respond(&self, service: &str) -> Response {
        if let Self::Catalog(error) = self {
            tracing::error!(%error, "A token could not be issued: {error}");
        }
        let (status, code, oauth, message) = self.row();
        let body = json!({
            "errors": [{ "code": code, "message": message }],
            "details": message,
            "error": oauth,
            "error_description": message,
        });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Credentials(_) => {
                let challenge = berth_oci::auth::Challenge::Basic { realm: service.to_owned() };
                crate::http::headers::insert(headers, header::WWW_AUTHENTICATE, &challenge.to_string());
            }
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            }
            Self::TooMany(seconds) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            }
            Self::Catalog(CatalogError::Unavailable(_)) => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::Catalog(CatalogError::Corrupt(_))
            | Self::Grant(_)
            | Self::Request(_)
            | Self::Scope(_)
            | Self::GrantType => {}
        }
        response
    }
}
