//! Outside issuers: token servers whose tokens are taken as they are, and identity providers whose tokens say who
//! somebody is.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{
    jwt::{BadToken, Claims, Outline, bad, verify},
    source::{Connection, KeySource, Source},
};
use crate::{
    auth::{Authority, Principal, Subject},
    catalog::BoxError,
    clock::Clock,
};

/// What outside issuers may sign with: nothing that is a secret of two.
pub const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// What every kind of outside issuer has.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Its name here.
    pub name: String,
    /// Its `iss`.
    pub issuer: String,
    /// What a token's `aud` has to be one of.
    pub audience: Vec<String>,
    /// What it may sign with.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// How to get there.
    pub connection: Connection,
}

/// An outside issuer with its keys.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) about: Outside,
    source: Source,
}

impl Issuer {
    pub(super) fn new(about: Outside, clock: Arc<dyn Clock>) -> Result<Self, BoxError> {
        let source = Source::new(&about.name, about.keys.clone(), &about.connection, clock)?;
        Ok(Self { about, source })
    }

    /// Checks who signed it and whom it is for; its times are not looked at yet.
    pub(super) async fn verify(
        &self,
        token: &str,
        outline: &Outline,
    ) -> Result<Map<String, Value>, BadToken> {
        if !self.about.algorithms.contains(&outline.algorithm) {
            return Err(bad(format!(
                "the token is signed with {:?}, which {} may not use here",
                outline.algorithm, self.about.name
            )));
        }
        let kid = outline.kid.as_deref();
        let mut keys = self.source.keys(false).await;
        let unknown = |keys: &super::jwks::KeySet| kid.is_some_and(|kid| !keys.has(kid));
        if keys.as_deref().is_some_and(unknown) {
            keys = self.source.keys(true).await;
        }
        let keys =
            keys.ok_or_else(|| bad(format!("the keys of {} cannot be had; try again", self.about.name)))?;
        let fitting = keys.fitting(kid, outline.algorithm);
        if fitting.is_empty() {
            return Err(bad(format!("{} has no key that the token could be signed with", self.about.name)));
        }
        let mut outcome = Err(bad("the token's signature does not fit"));
        for key in fitting {
            outcome = verify(token, &key.key, outline.algorithm);
            if outcome.is_ok() {
                break;
            }
        }
        let claims = outcome?;
        if Claims(&claims).text("iss") != Some(&self.about.issuer) {
            return Err(bad("the token is of another issuer (iss)"));
        }
        Claims(&claims).check_audience(&self.about.audience)?;
        Ok(claims)
    }

    /// Reads the keys where they are old, so that no request has to wait for it.
    pub(super) async fn tend(&self) {
        self.source.keys(false).await;
    }
}

/// A token server that others run: what its tokens grant is granted.
#[derive(Clone, Debug)]
pub struct TokenServer {
    /// As every issuer.
    pub outside: Outside,
    /// Its address, to which clients are sent.
    pub realm: Option<String>,
    /// What the registry is called there.
    pub service: String,
}

/// Whom a token of a token server is for, and what it grants.
pub(super) fn granted_by(
    name: &str,
    claims: &Map<String, Value>,
    now: crate::clock::Timestamp,
    leeway: Duration,
) -> Result<(Principal, crate::clock::Timestamp), BadToken> {
    let claims = Claims(claims);
    let end = claims.check_times(now, leeway, None)?;
    let granted = super::access::push_overwrites(super::access::from_claim(claims.0.get("access")));
    // Not a user of ours of the same name.
    let name_there = claims.text("sub").filter(|sub| super::federation::is_sane(sub)).unwrap_or_default();
    let subject = Subject::Federated { issuer: name.to_owned(), name: name_there.to_owned() };
    Ok((Principal { subject, authority: Authority::Granted(granted), ..Principal::default() }, end))
}
