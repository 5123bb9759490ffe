//! Where an outside issuer's keys come from. Whatever goes wrong there, a token is taken only when a key that was
//! had signed it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use http::header;
use reqwest::{Certificate, Client, Url, redirect::Policy};
use tokio::sync::Mutex;

use super::jwks::KeySet;
use crate::{
    catalog::BoxError,
    clock::{Clock, Timestamp},
};

/// Answers are this many bytes at most.
const MAX_ANSWER: usize = 1 << 20;
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);
/// Keys are read again when they are this old.
const FRESH: Duration = Duration::from_mins(15);
/// Keys that could not be read again since are used no longer than this.
const STALE: Duration = Duration::from_hours(24);
/// A name that is not known makes them be read again this often at most.
const AGAIN: Duration = Duration::from_secs(10);
/// After failures the next try waits twice as long each time, up to this.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JSON web key set at an address.
    Url(String),
    /// A JSON web key set at the address that the issuer's `/.well-known/openid-configuration` names.
    Discovery(String),
    /// A JSON web key set in a file.
    File(PathBuf),
    /// Certificates or public keys in PEM: what Distribution calls `rootcertbundle`.
    Certificates(PathBuf),
}

/// What an address needs beside itself.
#[derive(Clone, Default)]
pub struct Connection {
    /// Certificates to trust beside the usual ones, PEM.
    pub ca: Option<PathBuf>,
    /// A file with a bearer token to send, as Kubernetes' API server may want; read each time.
    pub token: Option<PathBuf>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("ca", &self.ca).finish_non_exhaustive()
    }
}

/// Keys that are had, and how the next try stands.
#[derive(Debug, Default)]
struct Had {
    keys: Option<Arc<KeySet>>,
    /// When they were read.
    at: Timestamp,
}

#[derive(Debug, Default)]
struct Tries {
    last: Option<Timestamp>,
    failures: u32,
}

/// An issuer's keys, read when they are needed and now and then.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    place: KeySource,
    client: Option<Client>,
    token: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    had: ArcSwap<Had>,
    tries: Mutex<Tries>,
}

impl Source {
    /// One that has read nothing yet.
    pub(super) fn new(
        name: &str,
        place: KeySource,
        connection: &Connection,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BoxError> {
        let client = match &place {
            KeySource::Url(_) | KeySource::Discovery(_) => Some(client(connection)?),
            KeySource::File(_) | KeySource::Certificates(_) => None,
        };
        Ok(Self {
            name: name.to_owned(),
            place,
            client,
            token: connection.token.clone(),
            clock,
            had: ArcSwap::default(),
            tries: Mutex::default(),
        })
    }

    /// The keys, if they are had and not too old.
    pub(super) fn now(&self) -> Option<Arc<KeySet>> {
        let had = self.had.load();
        had.keys.clone().filter(|_| self.clock.now() < had.at + STALE)
    }

    /// The keys, read first when there are none, or when they are old, or (`missing`) when one is wanted that is
    /// not among them. Whoever comes while they are read waits for it.
    pub(super) async fn keys(&self, missing: bool) -> Option<Arc<KeySet>> {
        let asked = self.clock.now();
        let wanted = |had: &Had| missing || had.keys.is_none() || had.at + FRESH <= asked;
        if !wanted(&self.had.load()) {
            return self.now();
        }
        let mut tries = self.tries.lock().await;
        let now = self.clock.now();
        let wait = match tries.failures {
            0 => AGAIN,
            failures => AGAIN.saturating_mul(1 << failures.min(6)).min(LONGEST_WAIT),
        };
        if tries.last.is_some_and(|last| last <= now && now < last + wait) {
            return self.now();
        }
        tries.last = Some(now);
        match self.read().await {
            Ok(keys) => {
                tries.failures = 0;
                self.had.store(Arc::new(Had { keys: Some(Arc::new(keys)), at: now }));
            }
            Err(error) => {
                tries.failures = tries.failures.saturating_add(1);
                tracing::warn!(issuer = %self.name, "The keys of {} cannot be read: {error}", self.name);
            }
        }
        self.now()
    }

    async fn read(&self) -> Result<KeySet, BoxError> {
        match &self.place {
            KeySource::File(path) => KeySet::from_json(&file(path).await?),
            KeySource::Certificates(path) => KeySet::from_pem(&file(path).await?),
            KeySource::Url(url) => KeySet::from_json(&self.get(url).await?),
            KeySource::Discovery(issuer) => {
                let base = issuer.trim_end_matches('/');
                let about = self.get(&format!("{base}/.well-known/openid-configuration")).await?;
                let about: serde_json::Value = serde_json::from_slice(&about)?;
                let text = |name: &str| about.get(name).and_then(serde_json::Value::as_str);
                // OpenID Connect Discovery, 4.3: else somebody else's keys would count as theirs.
                if text("issuer") != Some(issuer) {
                    return Err("its openid-configuration is that of another issuer".into());
                }
                let keys = text("jwks_uri").ok_or("its openid-configuration names no jwks_uri")?;
                may_be_asked(keys)?;
                KeySet::from_json(&self.get(keys).await?)
            }
        }
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, BoxError> {
        let client = self.client.as_ref().ok_or("there is no client")?;
        let mut request =
            client.get(url).header(header::ACCEPT, "application/json, application/jwk-set+json");
        if let Some(path) = &self.token {
            let token = String::from_utf8(file(path).await?)?;
            request = request.bearer_auth(token.trim());
        }
        let mut answer = request.send().await.map_err(reqwest::Error::without_url)?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()).into());
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(format!("its answer has more than {MAX_ANSWER} bytes").into());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

fn client(connection: &Connection) -> Result<Client, BoxError> {
    let mut builder = Client::builder()
        .user_agent(concat!("berth-registry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .redirect(Policy::none());
    if let Some(path) = &connection.ca {
        let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        for certificate in Certificate::from_pem_bundle(&pem)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    Ok(builder.build()?)
}

async fn file(path: &std::path::Path) -> Result<Vec<u8>, BoxError> {
    let read = tokio::fs::read(path).await;
    let bytes = read.map_err(|error| format!("{}: {error}", path.display()))?;
    if bytes.len() > MAX_ANSWER {
        return Err(format!("{} has more than {MAX_ANSWER} bytes", path.display()).into());
    }
    Ok(bytes)
}

/// Whether keys may be asked for at an address: over TLS, or on this very machine.
///
/// # Errors
/// A sentence's end, when they may not.
pub fn may_be_asked(url: &str) -> Result<(), String> {
    let parsed = Url::parse(url)
        .map_err(|_| format!("{url:?} is not an address like \"https://issuer.example/keys\""))?;
    let local = match parsed.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must not hold a user or a password".to_owned());
    }
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if local => Ok(()),
        _ => Err(format!(
            "{url:?} must begin with https://: keys that somebody on the way can change are none"
        )),
    }
}
