//! Tokens against a catalog of their own and a clock that is set by hand.

mod federation;
mod hostile;
mod keys;
mod own;
mod refresh;
mod source;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::{Authority, Bearer, Subject},
    catalog::{SqliteCatalog, SqliteOptions},
};

pub(super) const NOW: Timestamp = Timestamp(1_750_000_000_000_000);
pub(super) const SERVICE: &str = "registry.example";

/// Seconds since 1970.
pub(super) fn at(time: Timestamp) -> i64 {
    time.0 / 1_000_000
}

#[derive(Debug)]
pub(super) struct HandClock(AtomicI64);

impl HandClock {
    pub(super) fn set(&self, time: Timestamp) {
        self.0.store(time.0, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Everybody is known but those who were shut out.
#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<BTreeSet<Subject>>);

impl Doors {
    fn shut(&self, subject: Subject) {
        self.0.lock().unwrap().insert(subject);
    }
}

#[async_trait]
impl Standing for Doors {
    async fn principal(&self, subject: &Subject) -> Result<Option<Principal>, AuthError> {
        let out = self.0.lock().unwrap().contains(subject);
        Ok((!out).then(|| Principal { subject: subject.clone(), ..Principal::default() }))
    }
}

pub(super) struct Fixture {
    pub(super) tokens: Tokens,
    pub(super) clock: Arc<HandClock>,
    pub(super) doors: Arc<Doors>,
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) data: tempfile::TempDir,
}

pub(super) fn settings() -> Settings {
    Settings {
        enabled: true,
        service: SERVICE.to_owned(),
        life: Duration::from_mins(5),
        leeway: Duration::from_mins(1),
        refresh_life: Duration::from_hours(24),
        algorithm: SigningAlgorithm::Es256,
        rotation: Duration::from_hours(24),
        token_servers: Vec::new(),
        federations: Vec::new(),
    }
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::with(|_| settings()).await
    }

    /// `settings` is given a folder for its files.
    pub(super) async fn with(settings: impl FnOnce(PathBuf) -> Settings) -> Self {
        let data = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(data.path(), SqliteOptions::default()).await.unwrap();
        let catalog: Arc<dyn Catalog> = Arc::new(catalog);
        let clock = Arc::new(HandClock(AtomicI64::new(NOW.0)));
        let doors = Arc::<Doors>::default();
        let settings = settings(data.path().to_owned());
        let tokens = open(settings, &catalog, &clock, &doors).await;
        Self { tokens, clock, doors, catalog, data }
    }

    /// Another replica on the same catalog.
    pub(super) async fn replica(&self, settings: Settings) -> Tokens {
        open(settings, &self.catalog, &self.clock, &self.doors).await
    }

    /// A token for a user with these scopes.
    pub(super) async fn token(&self, user: &str, scopes: &str) -> String {
        issue(&self.tokens, Subject::User(user.to_owned()), scopes).await
    }

    pub(super) async fn refused(&self, token: &str) -> String {
        refused(&self.tokens, token).await
    }
}

pub(super) async fn open(
    settings: Settings,
    catalog: &Arc<dyn Catalog>,
    clock: &Arc<HandClock>,
    doors: &Arc<Doors>,
) -> Tokens {
    let parties = Parties {
        catalog: catalog.clone(),
        clock: clock.clone(),
        policy: Policy::Open,
        standing: doors.clone(),
        realm: RealmOf::new(|_| Some("https://registry.example/token".to_owned())),
    };
    Tokens::open(settings, parties).await.unwrap()
}

pub(super) async fn issue(tokens: &Tokens, subject: Subject, scopes: &str) -> String {
    let who = Principal { subject, ..Principal::default() };
    let scopes = asked([scopes]).unwrap();
    tokens.issue(Grant { who, scopes: &scopes, offline: None, shown: None }).await.unwrap().token
}

/// Why a token is refused as such.
pub(super) async fn refused(tokens: &Tokens, token: &str) -> String {
    match tokens.check(token).await {
        Err(AuthError::Invalid(why)) => why,
        other => panic!("{other:?}"),
    }
}

pub(super) fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

pub(super) fn parts(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    [(); 2].map(|()| serde_json::from_slice(&parts.next().unwrap()).unwrap())
}

/// A key of somebody else.
pub(super) struct Stranger {
    pub(super) key: EncodingKey,
    pub(super) jwk: Value,
}

impl Stranger {
    pub(super) fn new(kid: &str) -> Self {
        install_jwt_provider();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let key = EncodingKey::from_ec_der(pkcs8.unwrap().as_ref());
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = kid.into();
        Self { key, jwk }
    }

    /// Signs any header with any claims.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        sign(&self.key, header, claims)
    }

    pub(super) fn jwks(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }
}

pub(super) fn sign(key: &EncodingKey, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}
