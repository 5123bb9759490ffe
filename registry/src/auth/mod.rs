//! Who asks: identities, tokens and where they come from. What they may do is [`crate::policy`]'s.

mod principal;

use async_trait::async_trait;
pub use principal::{Authority, Principal, Subject};

use crate::catalog::CatalogError;

/// Why nobody could be identified.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// What was shown is not valid: a wrong password, a token that has expired. 401.
    #[error("{0}")]
    Invalid(String),
    /// Too many failed attempts, from one address or for one name. 429.
    #[error("too many attempts; try again in {retry_after} s")]
    TooMany {
        /// Seconds until the next attempt is looked at.
        retry_after: u64,
    },
    /// The catalog failed. 503.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Finds out who a request comes from.
#[async_trait]
pub trait Authenticate: Send + Sync + std::fmt::Debug + 'static {
    /// Whoever the request's credentials and connection say; [`Principal::anonymous`] where there are none.
    ///
    /// # Errors
    /// When credentials are there and wrong: they never count as none.
    async fn identify(&self, request: &http::request::Parts) -> Result<Principal, AuthError>;

    /// What a 401 tells the client to do, for one scope it lacks (empty for `/v2/` itself).
    fn challenge(&self, request: &http::request::Parts, scope: &str) -> Option<String>;
}

/// Everybody is anonymous: the embedded default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl Authenticate for Nobody {
    async fn identify(&self, _request: &http::request::Parts) -> Result<Principal, AuthError> {
        Ok(Principal::anonymous())
    }

    fn challenge(&self, _request: &http::request::Parts, _scope: &str) -> Option<String> {
        None
    }
}
