//! Access to a registry: challenges, tokens, and who gets to see credentials (the token specification of the
//! distribution project; RFC 7617, RFC 6750).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_oci::{Challenge, Scopes};
use http::HeaderValue;
use url::Url;

use super::{
    registry::Registry,
    token::{self, Token},
    trust,
};
use crate::{
    Error, Result, Secret, Side,
    config::{Credential, Credentials},
};

/// Sets of scopes whose tokens are kept: a process that walks through thousands of repositories needs the tokens of few
/// at a time.
const MAX_SLOTS: usize = 256;

/// One user's access to one registry: the way in, learnt from its first challenge, and tokens by scope.
#[derive(Debug)]
pub(super) struct Auth {
    /// `--registry-token`.
    bearer: Option<Secret>,
    credentials: Credentials,
    /// What was found for a repository. Looked for when the registry asks, and not before: a helper program may ask
    /// the user something.
    found: tokio::sync::Mutex<HashMap<String, Option<Credential>>>,
    state: Mutex<State>,
}

/// What a request needs.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// `host/repository` or the host: what credentials are looked for by.
    pub(super) key: String,
    /// What a token has to allow.
    pub(super) scopes: Scopes,
}

#[derive(Debug, Default)]
struct State {
    scheme: Option<Scheme>,
    slots: Vec<Arc<Slot>>,
    /// Where the registry wants more than is asked for by itself: asked for, wanted.
    wider: Vec<(Scopes, Scopes)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// The token for one set of scopes. Whoever finds it missing fetches it; others wait for that one request.
#[derive(Debug)]
struct Slot {
    scopes: Scopes,
    credential: Option<Credential>,
    token: tokio::sync::Mutex<Option<Token>>,
}

/// What goes into the `Authorization` header.
#[derive(Clone, Debug)]
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    /// The token's number, by which a refusal of just this one is told.
    token: Option<u64>,
}

impl Auth {
    /// With the credentials of a side's flags, or of the files, or of these helpers (registries.conf).
    pub(super) fn new(side: &Side, helpers: &[String]) -> Self {
        Self::with(Credentials::for_side(side).with_helpers(helpers), side.registry_token.clone())
    }

    pub(super) fn with(credentials: Credentials, bearer: Option<Secret>) -> Self {
        Self { bearer, credentials, found: tokio::sync::Mutex::default(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn credential(&self, key: &str) -> Result<Option<Credential>> {
        let mut found = self.found.lock().await;
        if let Some(known) = found.get(key) {
            return Ok(known.clone());
        }
        let credential = self.credentials.find_key(key).await?;
        found.insert(key.to_owned(), credential.clone());
        Ok(credential)
    }

    /// What to send for this claim, as far as the registry's ways are known: nothing before its first challenge.
    ///
    /// # Errors
    /// If a token cannot be had.
    pub(super) async fn authorize(
        &self,
        registry: &Registry,
        claim: &Claim,
    ) -> Result<Option<Authorization>> {
        if let Some(token) = &self.bearer {
            return bearer(token.expose()).map(|header| Some(Authorization { header, token: None }));
        }
        let scheme = self.state().scheme.clone();
        let (realm, service) = match scheme {
            None => return Ok(None),
            Some(Scheme::Basic) => {
                let credential = self.credential(&claim.key).await?;
                return Ok(credential.as_ref().and_then(Authorization::basic));
            }
            Some(Scheme::Bearer { realm, service }) => (realm, service),
        };
        let credential = self.credential(&claim.key).await?;
        let slot = {
            let mut state = self.state();
            let wider = state.wider.iter().find(|(asked, _)| *asked == claim.scopes);
            let scopes = wider.map_or(&claim.scopes, |(_, wider)| wider).clone();
            state.slot(&scopes, credential.as_ref(), registry)
        };
        let mut kept = slot.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.is_fresh(registry.now())) {
            return Ok(Some(token.authorization()));
        }
        let request = token::Request { realm: &realm, service: service.as_deref(), scopes: &slot.scopes };
        let fetched = token::fetch(registry, slot.credential.as_ref(), request).await?;
        let authorization = fetched.authorization();
        *kept = Some(fetched);
        Ok(Some(authorization))
    }

    /// Takes a 401's challenges in. Answers the claim to try again with, or `None` where there is no other way in.
    ///
    /// # Errors
    /// If the registry names a token service that may not be asked (C1, C3).
    pub(super) async fn learn(
        &self,
        registry: &Registry,
        base: &Url,
        challenges: &[Challenge],
        sent: Option<&Authorization>,
        claim: &Claim,
    ) -> Result<Option<Claim>> {
        if self.bearer.is_some() {
            return Ok(None);
        }
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer(bearer) => Some(bearer),
            Challenge::Basic { .. } | Challenge::Other { .. } => None,
        });
        let credential = self.credential(&claim.key).await?;
        let Some(bearer) = bearer else {
            let basic = challenges.iter().any(|challenge| matches!(challenge, Challenge::Basic { .. }));
            if !basic || sent.is_some() || credential.as_ref().and_then(Authorization::basic).is_none() {
                return Ok(None);
            }
            self.state().scheme = Some(Scheme::Basic);
            return Ok(Some(claim.clone()));
        };
        let realm = trust::follow(base, &bearer.realm, "the token service")?;
        if credential.is_some() {
            trust::credentials_to(&realm, base, registry.trusted_token_hosts())?;
        }
        // What a registry asks for and cannot be read is not asked for.
        let wanted = bearer.scopes().unwrap_or_default();
        let wider = claim.scopes.clone().union(wanted);
        let slot = {
            let mut state = self.state();
            state.scheme = Some(Scheme::Bearer { realm, service: bearer.service.clone() });
            state.widen(&claim.scopes, &wider);
            state.exact(&wider, credential.as_ref())
        };
        if let Some(number) = sent.and_then(|sent| sent.token) {
            let mut kept = slot.token.lock().await;
            if kept.as_ref().is_some_and(|token| token.number() == number) {
                *kept = None;
            }
        }
        self.state().forget(sent.and_then(|sent| sent.token));
        Ok(Some(Claim { scopes: wider, ..claim.clone() }))
    }
}

impl State {
    /// The slot of these scopes, or of more if there is a token that lasts.
    fn slot(&mut self, scopes: &Scopes, credential: Option<&Credential>, registry: &Registry) -> Arc<Slot> {
        let lasting = |slot: &&Arc<Slot>| {
            !scopes.is_empty()
                && scopes.is_subset(&slot.scopes)
                && slot.credential.as_ref() == credential
                && slot
                    .token
                    .try_lock()
                    .is_ok_and(|token| token.as_ref().is_some_and(|token| token.is_fresh(registry.now())))
        };
        if let Some(slot) = self.slots.iter().find(lasting) {
            return Arc::clone(slot);
        }
        self.exact(scopes, credential)
    }

    fn exact(&mut self, scopes: &Scopes, credential: Option<&Credential>) -> Arc<Slot> {
        let same = |slot: &&Arc<Slot>| slot.scopes == *scopes && slot.credential.as_ref() == credential;
        if let Some(slot) = self.slots.iter().find(same) {
            return Arc::clone(slot);
        }
        if self.slots.len() >= MAX_SLOTS {
            self.slots.remove(0);
        }
        let slot = Slot {
            scopes: scopes.clone(),
            credential: credential.cloned(),
            token: tokio::sync::Mutex::default(),
        };
        let slot = Arc::new(slot);
        self.slots.push(Arc::clone(&slot));
        slot
    }

    /// Notes that who asks for `asked` needs `wider`.
    fn widen(&mut self, asked: &Scopes, wider: &Scopes) {
        if wider == asked || self.wider.len() >= MAX_SLOTS {
            return;
        }
        match self.wider.iter_mut().find(|(known, _)| known == asked) {
            Some((_, known)) => wider.clone_into(known),
            None => self.wider.push((asked.clone(), wider.clone())),
        }
    }

    /// Drops the slot of a token that was refused, wherever it came from.
    fn forget(&mut self, number: Option<u64>) {
        let refused = |slot: &Arc<Slot>| {
            slot.token
                .try_lock()
                .is_ok_and(|token| token.as_ref().is_some_and(|token| Some(token.number()) == number))
        };
        if number.is_some() {
            self.slots.retain(|slot| !refused(slot));
        }
    }
}

impl Authorization {
    pub(super) const fn of_token(header: HeaderValue, number: u64) -> Self {
        Self { header, token: Some(number) }
    }

    /// Name and password. An identity token is for token services alone.
    fn basic(credential: &Credential) -> Option<Self> {
        match credential {
            Credential::Basic { user, password } => {
                basic(user, password).ok().map(|header| Self { header, token: None })
            }
            Credential::IdentityToken { .. } => None,
        }
    }
}

pub(super) fn bearer(token: &str) -> Result<HeaderValue> {
    sensitive(&format!("Bearer {token}"))
}

pub(super) fn basic(user: &str, password: &Secret) -> Result<HeaderValue> {
    sensitive(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
}

fn sensitive(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::Usage("the token has a character that no HTTP header may have".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
