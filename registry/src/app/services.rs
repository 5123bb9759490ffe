//! What the server and the commands beside it are built from.

use std::sync::Arc;

use axum::Router;

use super::{StartError, storage};
use crate::{
    api,
    blobs::{self, Blobs},
    catalog::{Catalog, OpenError, PostgresCatalog, PostgresOptions, SqliteCatalog, SqliteOptions},
    clock::{Clock, SystemClock},
    config::{Config, Database, Redirect},
    http::{
        self, Api,
        access::Gate,
        redirect::{Redirects, Rule},
        serve::Origin,
    },
    manifests::{self, Manifests},
    storage::BlobStore,
    tags::Immutable,
    telemetry::Metrics,
};

/// Everything that is open.
#[derive(Clone, Debug)]
pub struct Services {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// What exists.
    pub catalog: Arc<dyn Catalog>,
    /// The bytes.
    pub store: Arc<dyn BlobStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The rules of blobs.
    pub blobs: Blobs,
    /// The rules of manifests.
    pub manifests: Manifests,
    /// Who may do what.
    pub gate: Gate,
    /// Which address clients use.
    pub origin: Arc<Origin>,
    /// What is counted.
    pub metrics: Metrics,
}

impl Services {
    /// Opens catalog and storage and builds all that stands on them.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let catalog = open_catalog(&config).await?;
        let store = storage::open(&config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let blobs = Blobs::new(catalog.clone(), store.clone(), clock.clone(), blob_settings(&config));
        let metrics = Metrics::default();
        metrics.register(
            "storage_wrong_bytes",
            "Answers that were broken off since storage sent other bytes than those of the blob",
            blobs.wrong_bytes(),
        );
        let manifests = Manifests::new(catalog.clone(), clock.clone(), manifest_settings(&config));
        let origin = Arc::new(Origin {
            external_url: config.server.external_url.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
        });
        Ok(Self {
            config: Arc::new(config),
            catalog,
            store,
            clock,
            blobs,
            manifests,
            gate: Gate::open(),
            origin,
            metrics,
        })
    }

    /// `/v2/` and `/api/v1/`.
    pub fn router(&self) -> Router {
        let settings = http_settings(&self.config, &self.origin);
        let api = Api::new(
            self.catalog.clone(),
            self.blobs.clone(),
            self.manifests.clone(),
            self.gate.clone(),
            settings,
        );
        http::router(api).merge(api::router(self.clone()))
    }

    /// Waits for writes under way and closes what is open.
    pub async fn close(&self) {
        self.blobs.settled().await;
        self.catalog.close().await;
    }
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
        redirects: redirects(config),
    }
}

fn redirects(config: &Config) -> Redirects {
    let rules = match config.storage.redirect {
        Redirect::Never => Vec::new(),
        Redirect::Always => vec![Rule::default()],
        Redirect::Rules => {
            // Checked when the configuration was read.
            let rules = config.storage.redirects.0.iter().filter_map(|rule| rule.parsed().ok());
            rules.map(|(networks, size)| Rule { networks, min_size: size.0 }).collect()
        }
    };
    Redirects { rules, life: config.storage.redirect_life }
}
