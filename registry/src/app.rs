//! Builds everything from the configuration and connects it, or refuses to start.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    blobs::{self, Blobs},
    catalog::{BoxError, Catalog, OpenError, PostgresCatalog, PostgresOptions, SqliteCatalog, SqliteOptions},
    clock::{Clock, SystemClock},
    config::{Backend, Config, Database},
    http::{
        self, Api,
        access::Gate,
        health::{self, Health, Probe},
        serve::{self, Options, Origin, Shutdown, Tls, TlsError},
    },
    manifests::{self, Manifests},
    storage::{BlobStore, Filesystem, S3Options, StorageError, s3},
    tags::Immutable,
    telemetry::{self, Metrics, Requests},
};

/// How often expired uploads are looked for, and how many are thrown away at a time.
const PURGE: Duration = Duration::from_mins(5);
const PURGE_BATCH: u32 = 100;

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
            Self::Catalog(OpenError::Address(_)) | Self::Tls(_) => 78,
            Self::Catalog(OpenError::Directory { .. } | OpenError::Database(_) | OpenError::Migration(_))
            | Self::Storage(_)
            | Self::Listen { .. }
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
    let catalog = open_catalog(&config).await?;
    let store = open_storage(&config).await?;
    let metrics = Metrics::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let blobs = Blobs::new(catalog.clone(), store.clone(), clock.clone(), blob_settings(&config));
    let manifests = Manifests::new(catalog.clone(), clock, manifest_settings(&config));
    let origin = Arc::new(Origin {
        external_url: config.server.external_url.clone(),
        trusted_proxies: config.server.trusted_proxies.clone(),
    });
    let api =
        Api::new(catalog.clone(), blobs.clone(), manifests, Gate::Open, http_settings(&config, &origin));
    let health = Health::new(probes(&catalog, &store), shutdown.stop.clone());
    let mut router = http::router(api).merge(health::health(health.clone()));
    if config.metrics.listen.0.is_none() {
        router = router.merge(health::metrics(metrics.clone()));
    }
    let json = telemetry::is_json(config.log.format);
    let requests = Requests::new(metrics.clone(), origin.clone(), config.log.requests, json);
    let router = router.layer(CatchPanicLayer::new()).layer(requests);
    let tls = match config.tls.files() {
        None => None,
        Some((cert, key)) => Some(Arc::new(Tls::load(cert, key)?)),
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
    let purging = tokio::spawn(purge(blobs.clone(), shutdown.stop.clone()));
    greet(&config, &listeners);
    // What cannot be reached may come yet, so it stops no start; but a wrong bucket is told of before the first push.
    tokio::spawn(async move { health.look().await });
    serve::notify("READY=1");
    serve::serve(listeners, router, options, shutdown).await;
    over.stop.cancel();
    for task in [Some(purging), beside].into_iter().flatten() {
        if let Err(error) = task.await {
            tracing::error!("A background task ended badly: {error}");
        }
    }
    blobs.settled().await;
    catalog.close().await;
    tracing::info!("Stopped");
    Ok(())
}

async fn open_catalog(config: &Config) -> Result<Arc<dyn Catalog>, OpenError> {
    match config.catalog.database() {
        Database::Sqlite => {
            let dir = config.catalog.dir.as_ref().unwrap_or(&config.data.dir);
            Ok(Arc::new(SqliteCatalog::open(dir, SqliteOptions::default()).await?))
        }
        Database::Postgres(url) => {
            let options = PostgresOptions {
                connections: config.catalog.max_connections,
                ..PostgresOptions::new(url.reveal())
            };
            Ok(Arc::new(PostgresCatalog::open(&options).await?))
        }
    }
}

async fn open_storage(config: &Config) -> Result<Arc<dyn BlobStore>, StartError> {
    match config.storage.backend() {
        Backend::Filesystem => {
            let (root, reserve) = (config.data.dir.join("storage"), config.storage.reserve.0);
            // It makes and syncs folders, which blocks.
            let open = tokio::task::spawn_blocking(move || Filesystem::open(root, reserve));
            Ok(Arc::new(open.await.map_err(io::Error::other)??))
        }
        Backend::S3(bucket) => Ok(Arc::new(s3(&S3Options {
            endpoint: bucket.endpoint.clone(),
            region: bucket.region.clone(),
            bucket: bucket.bucket.clone(),
            prefix: bucket.prefix.clone(),
            credentials: bucket
                .credentials
                .as_ref()
                .map(|(id, secret)| (id.reveal().to_owned(), secret.reveal().to_owned())),
            virtual_hosted_style: bucket.virtual_host_style,
        })?)),
    }
}

fn blob_settings(config: &Config) -> blobs::Settings {
    blobs::Settings {
        upload_expiry: config.uploads.expiry,
        max_blob_bytes: config.uploads.max_blob_size.map(|size| size.0),
        min_chunk_bytes: config.uploads.min_chunk.map_or(0, |size| size.0),
        max_uploads: config.uploads.max_sessions,
        ..blobs::Settings::default()
    }
}

fn manifest_settings(config: &Config) -> manifests::Settings {
    manifests::Settings {
        sparse_indexes: config.manifests.sparse_indexes,
        sparse_images: config.manifests.sparse_images,
        max_depth: berth_oci::manifest::MAX_INDEX_DEPTH,
        immutable: Immutable::new(config.tags.immutable.clone()),
        blob_lease: blobs::Settings::default().lease,
    }
}

fn http_settings(config: &Config, origin: &Arc<Origin>) -> http::Settings {
    http::Settings {
        max_manifest_bytes: usize::try_from(config.manifests.max_size.0).unwrap_or(usize::MAX),
        deletes: config.delete.enabled,
        origin: origin.clone(),
    }
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

/// Metrics and health on a port of their own, where one is configured. Its `shutdown` is its own
/// too: it is open until the last request is over, so that a drain can be watched.
async fn beside(
    config: &Config,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
) -> Result<Option<tokio::task::JoinHandle<()>>, StartError> {
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

/// Throws expired uploads away, every few minutes.
async fn purge(blobs: Blobs, stop: CancellationToken) {
    let mut each = tokio::time::interval(PURGE);
    each.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(each.tick()).await.is_some() {
        loop {
            match blobs.purge_expired(PURGE_BATCH).await {
                Ok(purged) => {
                    if purged > 0 {
                        tracing::info!(purged, "{purged} expired uploads were thrown away");
                    }
                    if purged < PURGE_BATCH || stop.is_cancelled() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!("Expired uploads stay until the next round: {error}");
                    break;
                }
            }
        }
    }
}

/// Where what is pushed goes, as a sentence's end. Of the database's address nothing is said, since it may hold a password.
fn places(config: &Config) -> String {
    let dir = config.data.dir.display();
    let blobs = match config.storage.backend() {
        Backend::Filesystem => dir.to_string(),
        Backend::S3(bucket) => format!("the bucket {}", bucket.bucket),
    };
    let catalog = match config.catalog.database() {
        Database::Sqlite => config.catalog.dir.as_ref().unwrap_or(&config.data.dir).display().to_string(),
        Database::Postgres(_) => "PostgreSQL".to_owned(),
    };
    if blobs == catalog { blobs } else { format!("{blobs} and its catalog in {catalog}") }
}

/// Says where the registry is, and on standard output, where no log goes, how to push to it.
fn greet(config: &Config, listeners: &[TcpListener]) {
    let scheme = if config.tls.files().is_some() { "https" } else { "http" };
    let addresses: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    for address in &addresses {
        tracing::info!(%address, "Listening on {scheme}://{address}");
    }
    let Some(address) = addresses.first() else { return };
    telemetry::flush();
    let host = config.server.external_url.as_deref().and_then(|url| url.split_once("://"));
    let host = host.map_or_else(|| address.to_string(), |(_, host)| host.to_owned());
    let plain = if scheme == "http" { "--tls-verify=false " } else { "" };
    let data = places(config);
    // Only a courtesy: that it could not be written changes nothing.
    let _courtesy = write!(
        io::stdout(),
        "\nBerth keeps its data in {data}. To push an image to it:\n\n    \
         docker tag IMAGE {host}/NAME && docker push {host}/NAME\n    \
         podman push {plain}IMAGE {host}/NAME\n    \
         skopeo copy {}containers-storage:IMAGE docker://{host}/NAME\n\n",
        plain.replace("--tls", "--dest-tls"),
    );
}
