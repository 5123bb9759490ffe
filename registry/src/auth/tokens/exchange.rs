//! The token server's rules: who gets which token for what they show.

use std::time::Duration;

use async_trait::async_trait;
use berth_oci::auth::{Scope, Scopes};
use serde::Serialize;
use uuid::Uuid;

use super::{
    NewRefresh, TokenError, Tokens, access, jwt,
    refresh::{self, RefreshSecret},
    subject,
};
use crate::{
    auth::{AuthError, Authority, FederatedLogin, Principal, Subject},
    catalog::RefreshKind,
    clock::Timestamp,
};

/// What a token is asked for with.
#[derive(Debug)]
pub struct Grant<'r> {
    /// Who asks.
    pub who: Principal,
    /// For what.
    pub scopes: &'r Scopes,
    /// Whether a refresh token is wanted too, and what the client calls itself.
    pub offline: Option<&'r str>,
    /// The password that was shown, where it was one.
    pub shown: Option<&'r str>,
}

/// A token, and all that is said with it.
#[derive(Debug)]
pub struct Answer {
    /// The token.
    pub token: String,
    /// How long it is good.
    pub life: Duration,
    /// When it was made.
    pub issued_at: Timestamp,
    /// What it grants.
    pub granted: Vec<Scope>,
    /// What the next can be had with.
    pub refresh: Option<RefreshSecret>,
}

#[derive(Serialize)]
struct Issued<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: Uuid,
    access: serde_json::Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    admin: bool,
}

fn invalid(why: &str) -> AuthError {
    AuthError::Invalid(why.to_owned())
}

impl Tokens {
    /// Issues a token with what the policy gives of what is asked for.
    ///
    /// # Errors
    /// When the one who asks has a token already: what it grants must not outlive it.
    pub async fn issue(&self, grant: Grant<'_>) -> Result<Answer, AuthError> {
        let who = &grant.who;
        if who.authority != Authority::Policy || who.subject == Subject::Local {
            return Err(invalid("a token is not had with a token; show a password or a refresh token"));
        }
        let granted = access::granted(&self.policy, who, grant.scopes);
        let token = self.token_for(who, &granted)?;
        let refresh = match grant.offline {
            Some(client) => self.offline(who, client, grant.shown).await?,
            None => None,
        };
        Ok(Answer { token, life: self.settings.life, issued_at: self.clock.now(), granted, refresh })
    }

    fn token_for(&self, who: &Principal, granted: &[Scope]) -> Result<String, TokenError> {
        let now = self.clock.now();
        let seconds = |time: Timestamp| time.0.div_euclid(1_000_000);
        self.sign(&Issued {
            iss: &self.settings.service,
            sub: who.key(),
            aud: &self.settings.service,
            exp: seconds(now + self.settings.life),
            nbf: seconds(now),
            iat: seconds(now),
            jti: Uuid::new_v4(),
            access: access::to_claim(granted),
            groups: self.policy.named_groups(who),
            admin: who.admin,
        })
    }

    /// A refresh token for a client that logged in.
    async fn offline(
        &self,
        who: &Principal,
        client: &str,
        shown: Option<&str>,
    ) -> Result<Option<RefreshSecret>, TokenError> {
        // Whoever came with one keeps it: another would be good though that one is revoked.
        if let Some(secret) = shown.filter(|secret| refresh::looks_like_one(secret)) {
            return Ok(Some(RefreshSecret::shown(secret)));
        }
        let expires_at = match &who.subject {
            Subject::User(_) | Subject::Robot(_) => None,
            Subject::Federated { issuer, .. } => match self.session(issuer) {
                Some(session) => Some(self.clock.now() + session),
                None => return Ok(None),
            },
            Subject::Anonymous | Subject::Certificate(_) | Subject::Local => return Ok(None),
        };
        let name = client.chars().filter(|character| !character.is_control()).take(100).collect();
        let new = NewRefresh { subject: who.subject.clone(), kind: RefreshKind::Offline, name, expires_at };
        Ok(Some(self.add_refresh(new).await?.1))
    }

    /// How long logins of a federation go on.
    fn session(&self, issuer: &str) -> Option<Duration> {
        let entry = self.federations.iter().find(|(_, entry)| entry.outside.name == issuer);
        entry.map(|(_, entry)| entry.session).filter(|session| !session.is_zero())
    }

    /// Whom a refresh token stands for, as they are now.
    ///
    /// # Errors
    /// When it is revoked or has expired, or whom it stood for may not come any more.
    pub async fn refreshed(&self, secret: &str) -> Result<Principal, AuthError> {
        let refused = || invalid("the refresh token is not valid; log in again");
        let row = self.refresh(secret).await?.ok_or_else(refused)?;
        let subject = subject::parse(&row.subject).ok_or_else(refused)?;
        let principal = match &subject {
            Subject::Federated { issuer, .. } => {
                self.session(issuer).map(|_| Principal { subject: subject.clone(), ..Principal::default() })
            }
            Subject::User(_) | Subject::Robot(_) => self.standing.principal(&subject).await?,
            Subject::Anonymous | Subject::Certificate(_) | Subject::Local => None,
        };
        principal.ok_or_else(refused)
    }

    /// Whom a token of an outside issuer stands for (RFC 8693).
    ///
    /// # Errors
    /// When it is not valid, or of an issuer that is not configured.
    pub async fn exchanged(&self, token: &str) -> Result<Principal, AuthError> {
        let principal = self.federated("", token).await?;
        principal.ok_or_else(|| invalid("the subject token is of no issuer in auth.federation"))
    }
}

#[async_trait]
impl FederatedLogin for Tokens {
    async fn login(&self, name: &str, secret: &str) -> Result<Option<Principal>, AuthError> {
        if refresh::looks_like_one(secret) {
            let Some(row) = self.refresh(secret).await? else { return Ok(None) };
            let owner = subject::parse(&row.subject);
            let named = match &owner {
                Some(Subject::User(owner) | Subject::Robot(owner)) => owner == name,
                _ => false,
            };
            if row.kind != RefreshKind::Personal || !named {
                return Ok(None);
            }
            let principal = self.refreshed(secret).await?;
            return Ok(Some(Principal { by_token: true, ..principal }));
        }
        if jwt::looks_like_one(secret) { self.federated(name, secret).await } else { Ok(None) }
    }
}
