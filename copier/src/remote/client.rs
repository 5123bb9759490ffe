//! What one process shares between all registries.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use berth_oci::{Digest, Reference, RepoName};
use tokio_util::task::TaskTracker;
use url::Url;

use super::{
    Repository,
    answer::Doing,
    auth::{Auth, Claim},
    clock::Tuning,
    known::Known,
    registry::{Ask, Lane, Registry, Target},
    repository::Place,
    resolver::{NamedHosts, Resolver},
    tls::Tls,
};
use crate::{
    Result, Secret, Settings, Side,
    config::{Candidate, HostCertificates, Registries, SignatureStorage},
    error::Error,
};

/// Idle connections that are kept for one host, and how long.
const IDLE_CONNECTIONS: usize = 8;
const IDLE_LIFE: Duration = Duration::from_secs(60);

/// The connections, tokens and limits of all registries that this process talks to.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tuning: Tuning,
    pub(super) named: NamedHosts,
    pub(super) trusted_token_hosts: Vec<String>,
    pub(super) trusted_upload_hosts: Vec<String>,
    pub(super) known: Known,
    pub(super) signatures: SignatureStorage,
    user_agent: String,
    configuration: Registries,
    /// Uploads that are being given up, because whoever waited for them is gone.
    pub(super) given_up: TaskTracker,
    connections: Mutex<Vec<(ConnectionKey, Arc<Registry>)>>,
    accesses: Mutex<Vec<(AccessKey, Arc<Auth>)>>,
}

#[derive(Debug, PartialEq, Eq)]
struct ConnectionKey {
    host: String,
    insecure: bool,
    cert_dir: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
struct AccessKey {
    host: String,
    authfile: Option<PathBuf>,
    credentials: Option<(String, Secret)>,
    anonymous: bool,
    registry_token: Option<Secret>,
}

impl Shared {
    /// An HTTP client by these settings. Redirects and retries are ours.
    pub(super) fn http(&self, tls: &Tls, own: bool) -> Result<reqwest::Client> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls.config(own)?)
            .dns_resolver(Arc::new(Resolver(self.named.clone())))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(self.tuning.connect)
            .pool_idle_timeout(IDLE_LIFE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .user_agent(&self.user_agent)
            .build()
            .map_err(|source| Error::Other {
                what: "making an HTTP client".to_owned(),
                source: source.into(),
            })
    }
}

impl Client {
    /// A client with nothing open.
    ///
    /// # Errors
    /// If registries.conf or registries.d is faulty.
    pub fn new(settings: &Settings) -> Result<Self> {
        Self::with_tuning(settings, Tuning::default())
    }

    /// A client with another clock or other limits.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_tuning(settings: &Settings, tuning: Tuning) -> Result<Self> {
        let named = NamedHosts::default();
        for host in settings.trusted_token_hosts.iter().chain(&settings.trusted_upload_hosts) {
            named.insert(host);
        }
        // A proxy is named by the user as well, in the environment.
        for key in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            let proxy = std::env::var(key).ok().and_then(|text| Url::parse(&text).ok());
            if let Some(host) = proxy.as_ref().and_then(Url::host_str) {
                named.insert(host);
            }
        }
        let own = concat!("berth-copier/", env!("CARGO_PKG_VERSION"));
        let user_agent = match &settings.user_agent_prefix {
            Some(prefix) => format!("{prefix} {own}"),
            None => own.to_owned(),
        };
        let shared = Shared {
            tuning,
            named,
            trusted_token_hosts: settings.trusted_token_hosts.clone(),
            trusted_upload_hosts: settings.trusted_upload_hosts.clone(),
            known: Known::default(),
            signatures: SignatureStorage::load(settings.registries_d.as_deref())?,
            user_agent,
            configuration: Registries::load(settings)?,
            given_up: TaskTracker::new(),
            connections: Mutex::default(),
            accesses: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Waits until the registries were told of all uploads that copies left behind when they were dropped. For the end of a
    /// process: each takes five seconds at most.
    pub async fn settled(&self) {
        self.shared.given_up.close();
        self.shared.given_up.wait().await;
    }

    /// What registries.conf says.
    #[must_use]
    pub fn registries(&self) -> &Registries {
        &self.shared.configuration
    }

    /// A repository of a registry, to read from: from mirrors first, where registries.conf has some. No request is made.
    /// [`Repository::for_writing`] makes it one to write to.
    ///
    /// # Errors
    /// If a configuration file that concerns it is faulty, or registries.conf blocks it.
    pub fn repository(&self, reference: &Reference, side: &Side) -> Result<Repository> {
        let whole = reference.clone().with_tag(None).with_digest(None);
        let places = |candidates: Vec<Candidate>| -> Result<Vec<Place>> {
            candidates.into_iter().map(|candidate| self.place(&whole, candidate, side)).collect()
        };
        let (primary, blocked) = match self.registries().primary(&whole) {
            Ok(primary) => (primary, None),
            // Its mirrors may be read all the same.
            Err(Error::Refused(why)) => {
                (Candidate { reference: whole.clone(), insecure: false }, Some(why.into()))
            }
            Err(error) => return Err(error),
        };
        let primary = Place { blocked, ..self.place(&whole, primary, side)? };
        let read = |reference: &Reference| match self.registries().pull_candidates(reference) {
            Ok(candidates) => places(candidates).map(Ok),
            Err(error @ Error::Refused(_)) => Ok(Err(error)),
            Err(error) => Err(error),
        };
        // Which mirrors there are depends on whether there is a digest, not on which.
        let some_digest = Digest::of(berth_oci::Algorithm::Sha256, b"");
        let by_digest = whole.clone().with_digest(Some(some_digest));
        // Mirrors may be for digests alone, or for tags.
        let (by_tag, by_digest) = match (read(&whole)?, read(&by_digest)?) {
            (Err(refused), Err(_)) => return Err(refused),
            (by_tag, by_digest) => {
                let or_none = |places: Result<_>| places.unwrap_or_else(|_| vec![primary.clone()]);
                (or_none(by_tag), or_none(by_digest))
            }
        };
        Ok(Repository::new(Arc::clone(&self.shared), whole, primary, by_tag, by_digest))
    }

    fn place(&self, name: &Reference, candidate: Candidate, side: &Side) -> Result<Place> {
        let reference = candidate.reference.with_tag(None).with_digest(None);
        let insecure = side.tls_verify.map_or(candidate.insecure, |verify| !verify);
        let registry = self.connection(reference.host(), insecure, side)?;
        let own = reference.host() == name.host();
        Ok(Place { auth: self.access(reference.host(), side, own), registry, reference, blocked: None })
    }

    fn connection(&self, host: &str, insecure: bool, side: &Side) -> Result<Arc<Registry>> {
        let key = ConnectionKey { host: host.to_owned(), insecure, cert_dir: side.cert_dir.clone() };
        let mut connections = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = connections.iter().find(|(known, _)| *known == key) {
            return Ok(Arc::clone(known));
        }
        let found = HostCertificates::find(host, side.cert_dir.as_deref())?;
        let identity = found.clients.into_iter().next().map(|client| (client.chain, client.key));
        let tls = Tls { insecure, roots: found.roots, identity };
        self.shared.named.insert(host);
        let made = Arc::new(Registry::new(Arc::clone(&self.shared), host, insecure, &tls)?);
        connections.push((key, Arc::clone(&made)));
        Ok(made)
    }

    /// The access that a side's flags give. What was given for a name by flags is for its host alone, not for mirrors
    /// elsewhere.
    fn access(&self, host: &str, side: &Side, own: bool) -> Arc<Auth> {
        let side = Side {
            credentials: side.credentials.clone().filter(|_| own),
            registry_token: side.registry_token.clone().filter(|_| own),
            ..side.clone()
        };
        let key = AccessKey {
            host: host.to_owned(),
            authfile: side.authfile.clone(),
            credentials: side.credentials.clone(),
            anonymous: side.anonymous,
            registry_token: side.registry_token.clone(),
        };
        let mut accesses = self.shared.accesses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = accesses.iter().find(|(known, _)| *known == key) {
            return Arc::clone(known);
        }
        let made = Arc::new(Auth::new(&side, self.registries().credential_helpers()));
        accesses.push((key, Arc::clone(&made)));
        made
    }

    /// Repositories of a host that this process found to hold a blob, or put it into.
    #[must_use]
    pub fn known_at(&self, host: &str, digest: &Digest) -> Vec<RepoName> {
        self.shared.known.places(host, digest)
    }

    /// Asks a registry whether it lets these credentials in (`GET /v2/`). Nothing of it is kept.
    ///
    /// # Errors
    /// `Error::Authentication` if it does not, and as every request.
    pub async fn check_login(&self, host: &str, user: &str, password: &Secret, side: &Side) -> Result<()> {
        let insecure = match side.tls_verify {
            Some(verify) => !verify,
            None => self.registries().host_is_insecure(host)?,
        };
        let registry = self.connection(host, insecure, side)?;
        let credentials = Some((user.to_owned(), password.clone()));
        let auth = Auth::new(&Side { credentials, registry_token: None, ..side.clone() }, &[]);
        let claim = Claim { key: host.to_owned(), scopes: berth_oci::Scopes::default() };
        let ask = Ask::get(Target::Path("/v2/".to_owned()), "logging in", Lane::Brief);
        let answer = registry.send(&auth, &ask, &claim).await?;
        let doing = Doing { what: "logging in", place: host, absent: "this host has no registry interface" };
        answer.accept(doing).await?.finish().await;
        Ok(())
    }
}
