//! From a request's connection and `Authorization` header to a principal.

use std::{fmt, net::IpAddr, sync::Arc};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::BoxFuture;
use http::{header, request::Parts};

use super::{AuthError, Authenticate, Bearer, ClientCertificate, Passwords, Principal, Refused, Trusted};

/// The address of a request's client, through proxies that are believed.
#[derive(Clone)]
pub struct AddressOf(Arc<dyn Fn(&Parts) -> IpAddr + Send + Sync>);

impl AddressOf {
    /// Asks `function`.
    pub fn new(function: impl Fn(&Parts) -> IpAddr + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }
}

impl fmt::Debug for AddressOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressOf")
    }
}

/// Everybody is anonymous but whoever the connection vouches for: the embedded default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl Authenticate for Nobody {
    async fn identify(&self, request: &Parts) -> Result<Principal, AuthError> {
        Ok(trusted(request).unwrap_or_default())
    }

    async fn attempt(
        &self,
        _request: &Parts,
        _secret: &str,
        look: BoxFuture<'_, Result<Principal, AuthError>>,
    ) -> Result<Principal, AuthError> {
        look.await
    }

    async fn knows(&self, _name: &str) -> bool {
        false
    }

    fn challenge(&self, _request: &Parts, _scope: &str, _refused: Refused) -> Option<String> {
        None
    }
}

fn trusted(request: &Parts) -> Option<Principal> {
    request.extensions.get::<Trusted>().map(|trusted| trusted.0.clone())
}

/// Looks, in this order, at who the connection vouches for, at the `Authorization` header, and at the client
/// certificate. What is there and wrong is refused; what is not there is anonymous.
#[derive(Clone, Debug)]
pub struct Callers {
    /// Names and passwords, and what is known of holders of certificates.
    pub passwords: Arc<dyn Passwords>,
    /// Tokens, where there is a token server.
    pub bearer: Option<Arc<dyn Bearer>>,
    /// Where requests come from.
    pub address: AddressOf,
    /// What the registry calls itself in a challenge.
    pub realm: String,
}

#[async_trait]
impl Authenticate for Callers {
    async fn identify(&self, request: &Parts) -> Result<Principal, AuthError> {
        if let Some(principal) = trusted(request) {
            return Ok(principal);
        }
        match credentials(request)? {
            Some(Credentials::Basic { name, secret }) => {
                self.passwords.login(&name, &secret, (self.address.0)(request)).await
            }
            Some(Credentials::Bearer(token)) => match &self.bearer {
                Some(bearer) => bearer.check(token).await,
                None => Err(invalid("no tokens are issued here; send a name and a password")),
            },
            None => match request.extensions.get::<ClientCertificate>() {
                Some(ClientCertificate(name)) => self.passwords.certificate(name).await,
                None => Ok(Principal::anonymous()),
            },
        }
    }

    async fn attempt(
        &self,
        request: &Parts,
        secret: &str,
        look: BoxFuture<'_, Result<Principal, AuthError>>,
    ) -> Result<Principal, AuthError> {
        self.passwords.attempt(secret, (self.address.0)(request), look).await
    }

    async fn knows(&self, name: &str) -> bool {
        self.passwords.knows(name).await
    }

    fn challenge(&self, request: &Parts, scope: &str, refused: Refused) -> Option<String> {
        Some(match &self.bearer {
            Some(bearer) => bearer.challenge(request, scope, refused),
            None => format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm),
        })
    }
}

/// What an `Authorization` header shows.
enum Credentials<'r> {
    Basic { name: String, secret: String },
    Bearer(&'r str),
}

fn invalid(why: &str) -> AuthError {
    AuthError::Invalid(why.to_owned())
}

/// The one `Authorization` header (RFC 9110, 11.6.2): two could be read as two people.
fn credentials(request: &Parts) -> Result<Option<Credentials<'_>>, AuthError> {
    let mut headers = request.headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(invalid("more than one Authorization header"));
    }
    let text = value.to_str().map_err(|_| invalid("the Authorization header is not text"))?;
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let rest = rest.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Credentials::Bearer(rest)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(invalid("the Authorization header is neither Basic nor Bearer"));
    }
    let malformed = || invalid("the Basic credentials are not base64 of `name:password` in UTF-8");
    let pair = STANDARD.decode(rest).map_err(|_| malformed())?;
    let pair = String::from_utf8(pair).map_err(|_| malformed())?;
    let (name, secret) = pair.split_once(':').ok_or_else(malformed)?;
    Ok(Some(Credentials::Basic { name: name.to_owned(), secret: secret.to_owned() }))
}

#[cfg(test)]
mod tests;
