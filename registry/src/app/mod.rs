//! Builds everything from the configuration and connects it, or refuses to start.

mod background;
mod collection;
mod greet;
mod identities;
mod services;
mod storage;
#[cfg(test)]
mod tests;
mod upkeep;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, middleware::from_fn_with_state};
pub use collection::Collection;
pub use services::{Services, open_storage};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

pub use self::background::{Periodic, Round};
use self::greet::greet;
use crate::{
    auth::{
        HtpasswdError,
        tokens::{TokenError, Tokens},
    },
    blobs::Blobs,
    catalog::{BoxError, Catalog, OpenError},
    config::Config,
    http::{
        access,
        health::{self, Health, Probe},
        serve::{self, Control, Options, Shutdown, Tls, TlsError, TlsFiles},
    },
    policy::{Live, Policy, RuleFaults},
    records::forgotten,
    storage::{BlobStore, StorageError},
    telemetry::{self, Metrics, Requests},
};

/// Each so many rounds, bytes are looked for that no upload can go on with: it lists all that is staged.
const SWEEP: u32 = 12;
/// How often expired uploads are looked for, and how many are thrown away at a time.
const PURGE: Duration = Duration::from_mins(5);
const PURGE_BATCH: u32 = 100;
/// How often old entries of the audit log are looked for, and how many are dropped at a time.
const FORGET: Duration = Duration::from_hours(1);
const FORGET_BATCH: u32 = 2000;
/// How often the ledger of what namespaces hold is added up.
const FOLD: Duration = Duration::from_secs(2);
/// How soon a replica takes over rules that were changed on another.
const FOLLOW: Duration = Duration::from_secs(2);

/// Why the registry did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] OpenError),
    /// Storage cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The certificate or key cannot be used.
    #[error("server.tls: {0}")]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What happened.
        error: io::Error,
    },
    /// The password file cannot be used.
    #[error("auth.htpasswd: {0}")]
    Htpasswd(#[from] HtpasswdError),
    /// Authentication is on, and nobody has a password to log in with.
    #[error(
        "auth.enabled: nobody could log in as an administrator, and there is no default password. Make the first one \
         with `berth-registry user add NAME --admin` (with the same --config and BERTH_DATA), then start again"
    )]
    NobodyToLogIn,
    /// A rule of the policy is wrong.
    #[error("policy.rules: {0}")]
    Policy(#[source] RuleFaults),
    /// The keys of tokens cannot be used, or an outside issuer not be set up.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// Logging cannot begin.
    #[error("logging cannot begin: {0}")]
    Log(#[source] BoxError),
    /// The process cannot have threads or signals.
    #[error("the process cannot be set up: {0}")]
    Process(#[from] io::Error),
}

impl StartError {
    /// What the process ends with: 75 where another process has the data directory, 78 where the
    /// configuration names what cannot be used, 1 otherwise.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Catalog(OpenError::Locked(_)) => 75,
            Self::Catalog(OpenError::Address(_))
            | Self::Tls(_)
            | Self::Htpasswd(_)
            | Self::Tokens(TokenError::Issuer { .. })
            | Self::NobodyToLogIn
            | Self::Policy(_) => 78,
            Self::Catalog(OpenError::Directory { .. } | OpenError::Database(_) | OpenError::Migration(_))
            | Self::Storage(_)
            | Self::Listen { .. }
            | Self::Tokens(TokenError::Catalog(_) | TokenError::Key(_))
            | Self::Log(_)
            | Self::Process(_) => 1,
        }
    }
}

/// Runs the registry until it is told to stop.
///
/// # Errors
/// When it cannot start; once it serves, it ends well.
pub fn run(config: Config) -> Result<(), StartError> {
    telemetry::begin(&config.log).map_err(StartError::Log)?;
    serve::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(start(config));
    telemetry::flush();
    result
}

async fn start(config: Config) -> Result<(), StartError> {
    serve::raise_descriptor_limit();
    let shutdown = Shutdown::on_signals()?;
    let services = Services::open(config).await?;
    identities::check_administrators(&services).await?;
    services.keep_quotas();
    let (config, metrics, origin) =
        (services.config.clone(), services.metrics.clone(), services.origin.clone());
    let health = Health::new(probes(&services.catalog, &services.store), shutdown.stop.clone());
    let router = on_main_port(&services).merge(health::health(health.clone()));
    let json = telemetry::is_json(config.log.format);
    let requests = Requests::new(metrics.clone(), origin.clone(), config.log.requests, json);
    let router = router.layer(CatchPanicLayer::new()).layer(requests);
    let tls = match config.tls.files() {
        None => None,
        Some((cert, key)) => {
            let client_ca = config.tls.client_ca.clone();
            Some(Arc::new(Tls::load(TlsFiles { cert, key, client_ca })?))
        }
    };
    let listeners = listen(&config.server.listen).await?;
    let options = Options {
        limits: config.limits.clone(),
        tls: tls.clone(),
        origin,
        drain: config.server.drain,
        observer: Some(Arc::new(metrics.clone())),
    };
    let over = Shutdown::default();
    let beside = beside(&config, metrics, health.clone(), over.clone()).await?;
    if let Some(tls) = tls {
        tokio::spawn(watch(tls, shutdown.stop.clone()));
    }
    let mut tasks =
        background::start(periodic(&services), &services.catalog, &services.metrics, &shutdown.stop);
    tasks.extend(control(&config, router.clone(), &shutdown));
    tasks.extend(beside);
    greet(&config, &listeners);
    tokio::spawn(tell_of_loss(services.catalog.clone(), services.store.clone()));
    // What cannot be reached may come yet, so it stops no start; but a wrong bucket is told of before the first push.
    tokio::spawn(async move { health.look().await });
    serve::notify("READY=1");
    serve::serve(listeners, router, options, shutdown).await;
    over.stop.cancel();
    for task in tasks {
        if let Err(error) = task.await {
            tracing::error!("A background task ended badly: {error}");
        }
    }
    services.close().await;
    tracing::info!("Stopped");
    Ok(())
}

/// What the registry's own port serves, but for health.
fn on_main_port(services: &Services) -> Router {
    let (router, config) = (services.router(), &services.config);
    if config.metrics.listen.0.is_some() {
        return router;
    }
    let metrics = health::metrics(services.metrics.clone());
    if config.metrics.public {
        return router.merge(metrics);
    }
    router.merge(metrics.layer(from_fn_with_state(services.gate.clone(), access::known_or_near)))
}

/// Says so where the catalog was lost and storage was kept. It stops no start: whoever means to begin anew may.
async fn tell_of_loss(catalog: Arc<dyn Catalog>, store: Arc<dyn BlobStore>) {
    match forgotten(&*catalog, &*store).await {
        Ok(None) => {}
        Ok(Some(said)) => tracing::error!("Nothing that was pushed before is served: {said}"),
        Err(error) => tracing::warn!("Whether catalog and storage belong together cannot be seen: {error}"),
    }
}

/// All background work.
fn periodic(services: &Services) -> Vec<Periodic> {
    let mut tasks = vec![purge(services.blobs.clone()), fold(services.catalog.clone())];
    if services.config.audit.enabled {
        tasks.push(forget(services));
    }
    if let Policy::Rules(live) = &services.policy {
        tasks.push(follow(live.clone(), services.catalog.clone()));
    }
    if let Some(tokens) = &services.tokens {
        tasks.push(tend(tokens.clone()));
    }
    tasks.extend(upkeep::tasks(services));
    tasks.extend(collection::task(services));
    tasks
}

/// Drops what the audit log has kept for long enough.
fn forget(services: &Services) -> Periodic {
    let (catalog, clock) = (services.catalog.clone(), services.clock.clone());
    let keep = services.config.audit.keep;
    let round: Round = Arc::new(move |stop| {
        let (catalog, before) = (catalog.clone(), clock.now() - keep);
        Box::pin(async move {
            while !stop.is_cancelled()
                && catalog.drop_audit(before, FORGET_BATCH).await? == u64::from(FORGET_BATCH)
            {}
            Ok(())
        })
    });
    Periodic { name: "the end of old entries of the audit log", every: FORGET, alone: true, round }
}

/// Reads and rotates the keys of tokens, and forgets what has expired.
fn tend(tokens: Arc<Tokens>) -> Periodic {
    let round: Round = Arc::new(move |_stop| {
        let tokens = tokens.clone();
        Box::pin(async move { Ok(tokens.tend().await?) })
    });
    // Every replica has keys to read; of those that would add one, the catalog lets one.
    Periodic { name: "the keys of tokens", every: Tokens::TEND, alone: false, round }
}

/// Takes over rules that were changed on other replicas. While the catalog does not answer, those that are known
/// hold.
fn follow(live: Live, catalog: Arc<dyn Catalog>) -> Periodic {
    let round: Round = Arc::new(move |_stop| {
        let (live, catalog) = (live.clone(), catalog.clone());
        Box::pin(async move {
            if live.refresh(&*catalog).await? {
                tracing::info!("The policy's rules have changed");
            }
            Ok(())
        })
    });
    Periodic { name: "the policy", every: FOLLOW, alone: false, round }
}

fn probes(catalog: &Arc<dyn Catalog>, store: &Arc<dyn BlobStore>) -> Vec<(&'static str, Probe)> {
    let (catalog, store) = (catalog.clone(), store.clone());
    let catalog: Probe = Arc::new(move || {
        let catalog = catalog.clone();
        Box::pin(async move { catalog.ping().await.map_err(Into::into) })
    });
    let storage: Probe = Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { store.ping().await.map_err(Into::into) })
    });
    vec![("catalog", catalog), ("storage", storage)]
}

async fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners = Vec::new();
    for &address in addresses {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|error| StartError::Listen { address, error })?);
    }
    Ok(listeners)
}

/// The socket by which commands reach this server. Where there can be none, it serves all the same: with a catalog
/// on PostgreSQL commands work without.
fn control(config: &Config, router: Router, shutdown: &Shutdown) -> Option<JoinHandle<()>> {
    let folder = &config.data.dir;
    match std::fs::create_dir_all(folder).and_then(|()| Control::bind(folder)) {
        Ok(control) => Some(tokio::spawn(control.serve(router, config.server.drain, shutdown.clone()))),
        Err(error) => {
            tracing::warn!("There is no control socket in {}: {error}", folder.display());
            None
        }
    }
}

/// Metrics and health on a port of their own, where one is configured. Its `shutdown` is its own
/// too: it is open until the last request is over, so that a drain can be watched.
async fn beside(
    config: &Config,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
) -> Result<Option<JoinHandle<()>>, StartError> {
    let Some(address) = config.metrics.listen.0 else { return Ok(None) };
    let listeners = listen(&[address]).await?;
    let router = health::metrics(metrics).merge(health::health(health));
    let options = Options { drain: Duration::from_secs(1), ..Options::default() };
    Ok(Some(tokio::spawn(serve::serve(listeners, router, options, shutdown))))
}

async fn watch(tls: Arc<Tls>, stop: CancellationToken) {
    if let Err(error) = tls.watch(stop).await {
        tracing::error!("Changes of the TLS certificate will not be seen: {error}");
    }
}

/// Adds up what pushes have noted of the bytes that namespaces hold.
fn fold(catalog: Arc<dyn Catalog>) -> Periodic {
    let round: Round = Arc::new(move |stop| {
        let catalog = catalog.clone();
        Box::pin(async move {
            while !stop.is_cancelled() && catalog.fold().await? > 0 {}
            Ok(())
        })
    });
    Periodic { name: "fold of the ledger", every: FOLD, alone: true, round }
}

/// Throws expired uploads away, every few minutes, and now and then what interrupted ones left.
fn purge(blobs: Blobs) -> Periodic {
    let rounds = Arc::new(AtomicU32::new(0));
    let round: Round = Arc::new(move |stop| {
        let (blobs, rounds) = (blobs.clone(), rounds.clone());
        Box::pin(async move {
            while !stop.is_cancelled() {
                let purged = blobs.purge_expired(PURGE_BATCH).await?;
                if purged > 0 {
                    tracing::info!(purged, "{purged} expired uploads were thrown away");
                }
                if purged < PURGE_BATCH {
                    break;
                }
            }
            // After those that expired, whose rows still named what they had.
            if rounds.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP)
                && let Some(purged) = stop.run_until_cancelled(blobs.purge_interrupted()).await.transpose()?
                && purged > 0
            {
                tracing::info!(purged, "{purged} leftovers of interrupted uploads were thrown away");
            }
            Ok(())
        })
    });
    Periodic { name: "purge of uploads", every: PURGE, alone: false, round }
}
