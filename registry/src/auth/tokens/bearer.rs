//! Tokens as they come with requests.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use berth_oci::auth::{self as wire, Challenge};
use http::{header, request::Parts};
use serde::Deserialize;

use super::{
    Tokens, access, issuers,
    jwt::{BadToken, Claims, Outline, bad, outline, verify},
    subject,
};
use crate::{
    auth::{AuthError, Authority, Bearer, Principal, Refused},
    clock::Timestamp,
};

/// A token that was found good is not looked at again for so long.
const REMEMBER: Duration = Duration::from_mins(1);

impl From<BadToken> for AuthError {
    fn from(bad: BadToken) -> Self {
        Self::Invalid(bad.0)
    }
}

impl Tokens {
    /// One of ours.
    async fn check_own(&self, token: &str, outline: &Outline) -> Result<(Principal, Timestamp), AuthError> {
        let kid = outline.kid.as_deref().ok_or_else(|| bad("the token does not say which key signed it"))?;
        let key = self.keyring.find(kid).await?;
        let key = key.ok_or_else(|| bad("the token's key is not known, or has retired"))?;
        if outline.algorithm != key.algorithm {
            return Err(bad("the token's algorithm is not its key's").into());
        }
        let claims = verify(token, &key.verifies, key.algorithm)?;
        let claims = Claims(&claims);
        if claims.text("iss") != Some(&self.settings.service) {
            return Err(bad("the token is of another issuer (iss)").into());
        }
        claims.check_audience(std::slice::from_ref(&self.settings.service))?;
        let end = claims.check_times(self.clock.now(), self.settings.leeway, None)?;
        let subject = claims.text("sub").and_then(subject::parse);
        let subject = subject.ok_or_else(|| bad("the token does not say whom it is for (sub)"))?;
        let authority = Authority::Granted(access::from_claim(claims.0.get("access")));
        // The grants decide; these are for what no grant says: which tags stay, and which names are in a list.
        let groups =
            claims.0.get("groups").and_then(|groups| Vec::deserialize(groups).ok()).unwrap_or_default();
        let admin = claims.0.get("admin") == Some(&serde_json::Value::Bool(true));
        Ok((Principal { subject, groups, authority, admin, by_token: true }, end))
    }

    /// One of another token server's.
    async fn check_outside(
        &self,
        token: &str,
        outline: &Outline,
    ) -> Result<(Principal, Timestamp), AuthError> {
        let mut outcome = Err(bad("the token is of an issuer that is not known here (iss)"));
        let servers = self.token_servers.iter();
        for (issuer, _) in servers.filter(|(issuer, _)| issuer.about.issuer == outline.issuer) {
            outcome = match issuer.verify(token, outline).await {
                Ok(claims) => {
                    let (now, leeway) = (self.clock.now(), self.settings.leeway);
                    issuers::granted_by(&issuer.about.name, &claims, now, leeway)
                }
                Err(bad) => Err(bad),
            };
            if outcome.is_ok() {
                break;
            }
        }
        Ok(outcome?)
    }

    /// Whom what a platform signed about a program stands for; `None` where it is nothing that a configured
    /// platform signed. `name` may be that of one `[[auth.federation]]`, which alone then counts.
    pub(super) async fn federated(&self, name: &str, token: &str) -> Result<Option<Principal>, AuthError> {
        let Ok(outline) = outline(token) else { return Ok(None) };
        let of_issuer = |one: &&(Arc<issuers::Issuer>, _)| one.0.about.issuer == outline.issuer;
        let mut entries: Vec<_> = self.federations.iter().filter(of_issuer).collect();
        if entries.is_empty() {
            return Ok(None);
        }
        if entries.iter().any(|(_, entry)| entry.outside.name == name) {
            entries.retain(|(_, entry)| entry.outside.name == name);
        }
        let mut why = bad("no [[auth.federation]] lets the token in");
        for (issuer, entry) in entries {
            let found = match issuer.verify(token, &outline).await {
                Ok(claims) => entry.principal(&claims, self.clock.now(), self.settings.leeway),
                Err(bad) => Err(bad),
            };
            match found {
                Ok((principal, _)) => return Ok(Some(principal)),
                Err(bad) => why = bad,
            }
        }
        tracing::info!(issuer = %outline.issuer, "A token of {} was not let in: {why}", outline.issuer);
        Err(why.into())
    }
}

#[async_trait]
impl Bearer for Tokens {
    async fn check(&self, token: &str) -> Result<Principal, AuthError> {
        let now = self.clock.now();
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some((principal, until)) = self.remembered.get(&name) {
            if now < until {
                return Ok(principal);
            }
            self.remembered.remove(&name);
        }
        let outline = outline(token)?;
        let own = self.settings.enabled && outline.issuer == self.settings.service;
        let (principal, end) = if own {
            self.check_own(token, &outline).await?
        } else {
            self.check_outside(token, &outline).await?
        };
        let until = (end + self.settings.leeway).min(now + REMEMBER);
        self.remembered.insert(name, (principal.clone(), until));
        Ok(principal)
    }

    fn challenge(&self, request: &Parts, scope: &str, refused: Refused) -> String {
        let elsewhere = self
            .token_servers
            .iter()
            .find_map(|(_, server)| server.realm.clone().map(|realm| (realm, server.service.clone())));
        let here = || {
            let realm = (self.realm.0)(request).filter(|_| self.settings.enabled)?;
            Some((realm, self.settings.service.clone()))
        };
        let Some((realm, service)) = elsewhere.or_else(here) else {
            return Challenge::Basic { realm: self.settings.service.clone() }.to_string();
        };
        let authorization = request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = authorization.and_then(|text| text.trim().get(..7));
        let error = match refused {
            Refused::Anonymous => None,
            _ if !shown.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer ")) => None,
            Refused::Invalid => Some("invalid_token".to_owned()),
            Refused::Insufficient => Some("insufficient_scope".to_owned()),
        };
        Challenge::Bearer(wire::Bearer {
            realm,
            service: Some(service),
            scope: Some(scope.to_owned()).filter(|scope| !scope.is_empty()),
            error,
            error_description: None,
        })
        .to_string()
    }
}
