//! Tokens: what is issued here, what is taken here, and with which keys.
//!
//! A token says for a few minutes who somebody is and what the policy gave them; it is checked with keys in memory
//! and asks nobody. What lasts longer (refresh tokens, passwords, what outside issuers sign about programs) is shown
//! to the token server alone, and looked at anew each time: so whoever is shut out is out when the last token ends.
//!
//! Against whom: a client that forges or alters tokens (the algorithm is the key's, never the token's; keys come from
//! the catalog and the configuration, never from the token), that asks for more than it may (every scope is asked of
//! the policy), that shows a token of one place at another (issuer and audience are checked), that floods with names
//! of keys (they are looked up in memory, the catalog at a bounded rate).

mod access;
mod bearer;
mod exchange;
mod federation;
mod issuers;
mod jwks;
mod jwt;
mod key;
mod keyring;
mod refresh;
mod source;
mod standing;
mod subject;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use http::request::Parts;
use jsonwebtoken::{Header, jwk::JwkSet};
use quick_cache::sync::Cache;

pub use access::{MAX_SCOPE_BYTES, MAX_SCOPES, TooMuch, asked};
pub use exchange::{Answer, Grant};
pub use federation::{Allowed, Federation, Platform};
pub use issuers::{ALGORITHMS, Outside, TokenServer};
pub use key::SigningAlgorithm;
pub use refresh::{NewRefresh, RefreshSecret};
pub use source::{Connection, KeySource, may_be_asked};
pub use standing::Standing;

use self::{issuers::Issuer, keyring::Keyring};
use super::{AuthError, Principal};
use crate::{
    catalog::{BoxError, Catalog, CatalogError, SigningKeyRow},
    clock::{Clock, Timestamp},
    policy::Policy,
};

/// Tokens that were found good are remembered, this many.
const REMEMBERED: usize = 10_000;

/// Why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A key cannot be made, read or used.
    #[error("the keys of tokens cannot be used: {0}")]
    Key(#[source] BoxError),
    /// An outside issuer cannot be set up.
    #[error("auth: the issuer {name}: {error}")]
    Issuer {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        error: BoxError,
    },
}

/// The address of this registry's token server as the client of a request can reach it; `None` where its `Host` is
/// none.
#[derive(Clone)]
pub struct RealmOf(Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>);

impl RealmOf {
    /// Asks `function`.
    pub fn new(function: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }
}

impl fmt::Debug for RealmOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RealmOf")
    }
}

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether tokens are issued here.
    pub enabled: bool,
    /// What the registry is called: `aud` and `iss` of its tokens, `service` of its challenges.
    pub service: String,
    /// How long a token is good.
    pub life: Duration,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// How long a refresh token is good that nobody uses.
    pub refresh_life: Duration,
    /// What is signed with.
    pub algorithm: SigningAlgorithm,
    /// When a key is followed by the next; zero for never.
    pub rotation: Duration,
    /// Token servers of others.
    pub token_servers: Vec<TokenServer>,
    /// Platforms that vouch for programs.
    pub federations: Vec<Federation>,
}

/// What `Tokens` needs beside its settings.
#[derive(Clone, Debug)]
pub struct Parties {
    /// Where keys and refresh tokens are.
    pub catalog: Arc<dyn Catalog>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What everybody may do.
    pub policy: Policy,
    /// Who is known.
    pub standing: Arc<dyn Standing>,
    /// Where clients are sent for tokens.
    pub realm: RealmOf,
}

/// Issues and checks tokens.
#[derive(Debug)]
pub struct Tokens {
    settings: Settings,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
    policy: Policy,
    standing: Arc<dyn Standing>,
    realm: RealmOf,
    keyring: Keyring,
    token_servers: Vec<(Issuer, TokenServer)>,
    federations: Vec<(Arc<Issuer>, Federation)>,
    remembered: Cache<[u8; 32], (Principal, Timestamp)>,
}

/// Chooses what JSON web tokens are signed and checked with; without this their first use panics. Safe to repeat.
pub fn install_jwt_provider() {
    // Refused when one is installed: it is this one.
    let _installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

impl Tokens {
    /// Reads the keys, and makes one on the first start of all.
    ///
    /// # Errors
    /// When the catalog fails, or an issuer cannot be set up.
    pub async fn open(settings: Settings, parties: Parties) -> Result<Self, TokenError> {
        install_jwt_provider();
        let Parties { catalog, clock, policy, standing, realm } = parties;
        let rules = keyring::Rules {
            algorithm: settings.algorithm,
            rotation: settings.rotation,
            shown_for: settings.life + settings.leeway,
        };
        let keyring = if settings.enabled {
            Keyring::open(catalog.clone(), clock.clone(), rules).await?
        } else {
            Keyring::empty(catalog.clone(), clock.clone(), rules)
        };
        let set_up = |about: &Outside| {
            let name = about.name.clone();
            Issuer::new(about.clone(), clock.clone()).map_err(|error| TokenError::Issuer { name, error })
        };
        let mut token_servers = Vec::new();
        for server in &settings.token_servers {
            token_servers.push((set_up(&server.outside)?, server.clone()));
        }
        let mut federations: Vec<(Arc<Issuer>, Federation)> = Vec::new();
        for federation in &settings.federations {
            // Entries with one issuer share its keys.
            let about = &federation.outside;
            let same = federations.iter().find(|(issuer, _)| {
                (&issuer.about.issuer, &issuer.about.keys, &issuer.about.audience, &issuer.about.algorithms)
                    == (&about.issuer, &about.keys, &about.audience, &about.algorithms)
            });
            let issuer = match same {
                Some((issuer, _)) => issuer.clone(),
                None => Arc::new(set_up(about)?),
            };
            federations.push((issuer, federation.clone()));
        }
        let remembered = Cache::new(REMEMBERED);
        Ok(Self {
            settings,
            catalog,
            clock,
            policy,
            standing,
            realm,
            keyring,
            token_servers,
            federations,
            remembered,
        })
    }

    /// What there is to do now and then: keys read, rotated, forgotten; expired refresh tokens forgotten.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn tend(&self) -> Result<(), TokenError> {
        if self.settings.enabled {
            self.keyring.tend().await?;
        }
        self.catalog.forget_expired_tokens(self.clock.now()).await?;
        for (issuer, _) in &self.token_servers {
            issuer.tend().await;
        }
        for (issuer, _) in &self.federations {
            issuer.tend().await;
        }
        Ok(())
    }

    /// How often [`Tokens::tend`] wants to be called: often enough for a key to be known everywhere when it begins
    /// to sign.
    pub const TEND: Duration = Duration::from_secs(30);

    /// The public keys, for whoever wants to check our tokens.
    #[must_use]
    pub fn published(&self) -> JwkSet {
        self.keyring.published()
    }

    /// The keys, and which one signs now.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn keys(&self) -> Result<(Vec<SigningKeyRow>, Option<String>), TokenError> {
        let rows = self.keyring.rows().await?;
        Ok((rows, self.keyring.signing().map(|key| key.kid.clone())))
    }

    /// Adds a key, which takes over in a minute or two; `None` when another was added at the same time.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn rotate(&self) -> Result<Option<String>, TokenError> {
        self.keyring.rotate().await
    }

    /// What the registry is called.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.settings.service
    }

    /// Whether tokens are issued here.
    #[must_use]
    pub fn issues(&self) -> bool {
        self.settings.enabled
    }

    /// Whether any tokens are taken: ours, or those of other token servers.
    #[must_use]
    pub fn takes_any(&self) -> bool {
        self.settings.enabled || !self.token_servers.is_empty()
    }

    /// Signs claims with the key of the hour.
    fn sign(&self, claims: &impl serde::Serialize) -> Result<String, TokenError> {
        let key = self.keyring.signing().ok_or_else(|| TokenError::Key("there is none".into()))?;
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(key.algorithm) };
        jsonwebtoken::encode(&header, claims, &key.signs).map_err(|error| TokenError::Key(error.into()))
    }
}

/// Whether a password looks like a token that [`Tokens`] may know: one that a platform signed, or a refresh token.
#[must_use]
pub fn may_be_password(secret: &str) -> bool {
    refresh::looks_like_one(secret) || jwt::looks_like_one(secret)
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Catalog(error) => Self::Catalog(error),
            TokenError::Key(error) => Self::Catalog(CatalogError::Corrupt(error)),
            TokenError::Issuer { error, .. } => Self::Catalog(CatalogError::Unavailable(error)),
        }
    }
}
