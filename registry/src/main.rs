//! `berth-registry`.

use std::{sync::Arc, time::Duration};

use berth_registry::{
    blobs::{self, Blobs},
    catalog::{Catalog, PostgresCatalog, PostgresOptions, SqliteCatalog, SqliteOptions},
    clock::SystemClock,
    config::{Backend, Config, Database, Overrides},
    http::{Api, Settings, access::Gate, router, serve},
    manifests::{self, Manifests},
    storage::{BlobStore, Filesystem, S3Options, s3},
    tags::Immutable,
};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut overrides = Overrides::default();
    let mut arguments = std::env::args().skip(2);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--config" => overrides.file = arguments.next().map(Into::into),
            "--listen" => overrides.listen.extend(arguments.next().map(|a| a.parse::<std::net::SocketAddr>()).transpose()?),
            "--data" => overrides.data = arguments.next().map(Into::into),
            "--insecure-open" => overrides.insecure_open = true,
            other => return Err(format!("{other}?").into()),
        }
    }
    let config = Config::load(&overrides).map_err(|faults| faults.to_string())?;
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let catalog: Arc<dyn Catalog> = match config.catalog.database() {
        Database::Sqlite => Arc::new(SqliteCatalog::open(&config.data.dir, SqliteOptions::default()).await?),
        Database::Postgres(url) => Arc::new(PostgresCatalog::open(&PostgresOptions::new(url.reveal())).await?),
    };
    let store: Arc<dyn BlobStore> = match config.storage.backend() {
        Backend::Filesystem => Arc::new(Filesystem::open(config.data.dir.join("storage"), 1 << 20)?),
        Backend::S3(b) => Arc::new(s3(&S3Options {
            endpoint: b.endpoint.clone(),
            region: b.region.clone(),
            bucket: b.bucket.clone(),
            prefix: b.prefix.clone(),
            credentials: b
                .credentials
                .as_ref()
                .map(|(id, secret)| (id.reveal().to_owned(), secret.reveal().to_owned())),
            virtual_hosted_style: b.virtual_host_style,
        })?),
    };
    let clock = Arc::new(SystemClock);
    let blobs = Blobs::new(Arc::clone(&catalog), store, clock.clone(), blobs::Settings::default());
    let manifests = Manifests::new(
        Arc::clone(&catalog),
        clock,
        manifests::Settings {
            sparse_indexes: config.manifests.sparse_indexes,
            max_depth: berth_oci::manifest::MAX_INDEX_DEPTH,
            immutable: Immutable::new(config.tags.immutable.clone()),
            blob_lease: Duration::from_secs(24 * 3600),
        },
    );
    let settings =
        Settings { max_manifest_bytes: berth_oci::manifest::MAX_MANIFEST_BYTES, deletes: config.delete.enabled };
    let api = Api::new(Arc::clone(&catalog), blobs, manifests, Gate::Open, settings);
    let shutdown = serve::Shutdown::on_signals()?;
    let mut listeners = Vec::new();
    for address in &config.server.listen {
        listeners.push(tokio::net::TcpListener::bind(address).await?);
    }
    let options = serve::Options { drain: config.server.drain, ..serve::Options::default() };
    let ready = axum::Router::new()
        .route("/readyz", axum::routing::get(|| async { "{}" }))
        .merge(router(api));
    serve::serve(listeners, ready, options, shutdown).await;
    catalog.close().await;
    Ok(())
}
