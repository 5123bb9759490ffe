//! What the endpoints of users, groups and robots have in common.

use axum::{Json, extract::FromRequestParts};
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Administrator, Error, Parameters, Result};
use crate::{
    app::Services,
    auth::{AuthError, Principal, Subject},
    clock::Timestamp,
};

/// Entries of a page at most, and where nobody says how many.
const PAGE: u32 = 100;
/// Refresh tokens that are looked at at a time.
const SESSIONS: u32 = 1000;

/// Somebody who may change accounts and rules: an administrator. Where nobody is asked who they are, whoever owns the
/// data directory alone: an account or a rule that a stranger made would be there when authentication is switched on.
#[derive(Clone, Debug)]
pub(super) struct Registrar(Administrator);

impl Registrar {
    pub(super) fn principal(&self) -> &Principal {
        self.0.principal()
    }
}

impl FromRequestParts<Services> for Registrar {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self> {
        let caller = Administrator::from_request_parts(parts, services).await?;
        if !services.config.auth.enabled && caller.principal().subject != Subject::Local {
            return Err(Error::Denied(
                "authentication is off, so accounts and rules are changed by commands on the registry's machine alone"
                    .to_owned(),
            ));
        }
        Ok(Self(caller))
    }
}

/// Which part of a list is wanted: `?after=NAME&limit=N`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    after: Option<String>,
    limit: Option<u32>,
}

/// The same, checked.
pub(super) struct Page {
    pub(super) after: Option<String>,
    limit: u32,
}

impl Page {
    /// One more than fit, to know whether there are more.
    pub(super) fn fetch(&self) -> u32 {
        self.limit + 1
    }

    /// The entries under `key`, and under `next` what to give as `after` for the next page.
    pub(super) fn answer<T>(
        &self,
        key: &str,
        mut rows: Vec<T>,
        entry: impl Fn(&T) -> Value,
        name: impl Fn(&T) -> &str,
    ) -> Json<Value> {
        let fit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > fit;
        rows.truncate(fit);
        let next = rows.last().filter(|_| more).map(name);
        Json(json!({ key: rows.iter().map(entry).collect::<Vec<_>>(), "next": next }))
    }
}

impl FromRequestParts<Services> for Page {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self> {
        let Parameters(asked) = Parameters::<Asked>::from_request_parts(parts, services).await?;
        let limit = asked.limit.unwrap_or(PAGE);
        if !(1..=1000).contains(&limit) {
            return Err(Error::Invalid("limit is from 1 to 1000".to_owned()));
        }
        Ok(Self { after: asked.after, limit })
    }
}

/// As RFC 3339 says times, to the second.
pub(super) fn time(time: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_second(time.0.div_euclid(1_000_000));
    seconds.map(|time| time.to_string()).unwrap_or_default()
}

/// What a login or a hash failed with.
pub(super) fn auth_error(error: AuthError) -> Error {
    match error {
        AuthError::Invalid(why) => Error::Invalid(why),
        AuthError::TooMany { retry_after } => Error::Throttled(retry_after),
        AuthError::Catalog(error) => Error::Catalog(error),
    }
}

/// Ends what a password or a secret was exchanged for: it must not outlive them, nor be there for whoever has the
/// name next.
pub(super) async fn end_sessions(services: &Services, subject: &str) -> Result<()> {
    loop {
        let tokens = services.catalog.refresh_tokens(Some(subject), None, SESSIONS).await?;
        if tokens.is_empty() {
            return Ok(());
        }
        for token in tokens {
            services.catalog.revoke_refresh_token(token.id, Some(subject)).await?;
        }
    }
}
