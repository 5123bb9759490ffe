//! Who asks: identities, tokens and where they come from. What they may do is [`crate::policy`]'s.

mod authenticate;
mod claimed;
mod connection;
pub mod names;
pub mod passwords;
mod principal;
pub mod tokens;

use std::{fmt::Debug, net::IpAddr};

use async_trait::async_trait;
pub use authenticate::{AddressOf, Callers, Nobody};
pub use claimed::{claimed_name, shows_token};
pub use connection::{ClientCertificate, Trusted};
use futures_util::future::BoxFuture;
use http::request::Parts;
pub use passwords::{HtpasswdError, Logins, Sources};
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

/// What a 401 is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nobody said who they are, and anonymous is not enough.
    Anonymous,
    /// What was shown is not valid: `error="invalid_token"`.
    Invalid,
    /// The token is valid and does not reach as far as the request: `error="insufficient_scope"`.
    Insufficient,
}

/// Finds out who a request comes from.
#[async_trait]
pub trait Authenticate: Send + Sync + Debug + 'static {
    /// Whoever the request's credentials and connection say; [`Principal::anonymous`] where there are none.
    ///
    /// # Errors
    /// When credentials are there and wrong: they never count as none.
    async fn identify(&self, request: &Parts) -> Result<Principal, AuthError>;

    /// Who shows a token to the token server, which looks at it with `look`. As often as passwords may be tried.
    ///
    /// # Errors
    /// As `look`; [`AuthError::TooMany`].
    async fn attempt(
        &self,
        request: &Parts,
        secret: &str,
        look: BoxFuture<'_, Result<Principal, AuthError>>,
    ) -> Result<Principal, AuthError>;

    /// Whether an account has this name, good or shut out.
    async fn knows(&self, name: &str) -> bool;

    /// What a 401 tells the client to do: `scope` is what the request would have needed, as
    /// `repository:team/app:pull,push` (empty for `/v2/` itself). `None` where nobody is ever asked.
    fn challenge(&self, request: &Parts, scope: &str, refused: Refused) -> Option<String>;
}

/// Checks names with passwords, whoever keeps them.
#[async_trait]
pub trait Passwords: Send + Sync + Debug + 'static {
    /// Who it is whose name and secret these are. `from` is the address of the client, for which, as for
    /// the name, failed attempts are counted.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], the same for an unknown name as for a wrong password.
    async fn login(&self, name: &str, secret: &str, from: IpAddr) -> Result<Principal, AuthError>;

    /// Who comes with a secret that somebody else looks at with `look`, a refresh token or a token of an outside issuer.
    /// Its failures are counted with those of passwords, and looked at no oftener (R28).
    ///
    /// # Errors
    /// As `look`; [`AuthError::TooMany`].
    async fn attempt(
        &self,
        secret: &str,
        from: IpAddr,
        look: BoxFuture<'_, Result<Principal, AuthError>>,
    ) -> Result<Principal, AuthError>;

    /// Whether an account has this name, good or shut out.
    async fn knows(&self, name: &str) -> bool;

    /// Who it is whose client certificate bears this name: the handshake has verified it.
    ///
    /// # Errors
    /// When the catalog does not say which groups it is in.
    async fn certificate(&self, name: &str) -> Result<Principal, AuthError>;
}

/// Logins with what outside issuers sign, given as the password of any name.
#[async_trait]
pub trait FederatedLogin: Send + Sync + Debug + 'static {
    /// Who it is; `None` when the secret is no token of an issuer that is configured, so that it may be a
    /// password.
    ///
    /// # Errors
    /// When it is such a token and not valid, or not for us.
    async fn login(&self, name: &str, secret: &str) -> Result<Option<Principal>, AuthError>;
}

/// Checks tokens, and says where they come from.
#[async_trait]
pub trait Bearer: Send + Sync + Debug + 'static {
    /// Who it was issued to, with what it grants.
    ///
    /// # Errors
    /// When it is not valid.
    async fn check(&self, token: &str) -> Result<Principal, AuthError>;

    /// `Bearer realm="…",service="…",scope="…"`, with `error` where a token was shown.
    fn challenge(&self, request: &Parts, scope: &str, refused: Refused) -> String;
}
