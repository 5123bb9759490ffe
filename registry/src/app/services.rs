//! What the server and the commands beside it are built from.

use std::{hash::RandomState, sync::Arc};

use axum::{Router, middleware::from_fn_with_state};
use tokio_util::sync::CancellationToken;

use super::{Collection, StartError, identities, storage};
use crate::{
    api,
    audit::Log,
    auth::{Authenticate, Logins, tokens::Tokens},
    blobs::{self, Blobs},
    catalog::{
        Catalog, NamespaceRules, OpenError, PostgresCatalog, PostgresOptions, SqliteCatalog, SqliteOptions,
    },
    clock::{Clock, SystemClock},
    config::{Config, Database, Redirect},
    gc::{self, Collector},
    http::{
        self, Api,
        access::{Gate, Recorded},
        redirect::{Redirects, Rule},
        serve::Origin,
        token::TokenServer,
    },
    limits::Rates,
    manifests::{self, Manifests},
    policy::{Live, Policy},
    records::Records,
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
    /// What storage is told of the catalog.
    pub records: Records,
    /// The rules of manifests.
    pub manifests: Manifests,
    /// Who may do what.
    pub policy: Policy,
    /// Names and secrets.
    pub logins: Arc<Logins>,
    /// Tokens, where callers have to say who they are.
    pub tokens: Option<Arc<Tokens>>,
    /// Everything that may say who a request comes from.
    pub authenticate: Arc<dyn Authenticate>,
    /// Where callers are looked at.
    pub gate: Gate,
    /// Who did what.
    pub audit: Log,
    /// Which address clients use.
    pub origin: Arc<Origin>,
    /// What is counted.
    pub metrics: Metrics,
    /// Removes what nothing needs.
    pub collection: Collection,
    /// Cancelled when everything is closed.
    pub stop: CancellationToken,
}

impl Services {
    /// Opens catalog and storage and builds all that stands on them.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let (catalog, clock) = open_catalog(&config).await?;
        let store = storage::open(&config).await?;
        let blobs = Blobs::new(catalog.clone(), store.clone(), clock.clone(), blob_settings(&config));
        let records = Records::new(catalog.clone(), store.clone());
        let rules = manifest_settings(&config);
        let manifests = Manifests::new(catalog.clone(), clock.clone(), records.clone(), rules);
        let origin = Arc::new(Origin {
            external_url: config.server.external_url.clone(),
            trusted_proxies: config.server.trusted_proxies.clone(),
        });
        let settings = gc_settings(&config);
        let collector =
            Collector::new(catalog.clone(), store.clone(), records.clone(), clock.clone(), settings);
        let metrics = Metrics::default();
        let collection = Collection::new(collector, &metrics);
        let policy = open_policy(&config, &*catalog).await?;
        let audit = if config.audit.enabled {
            Log::start(catalog.clone(), clock.clone())
        } else {
            Log::off(clock.clone())
        };
        let logins = identities::logins(&config, &catalog, &clock).await?;
        let tokens = identities::tokens(&config, &catalog, &clock, &origin, &policy, &logins).await?;
        let inner = identities::authenticate(&config, &logins, tokens.as_ref(), &origin);
        let authenticate: Arc<dyn Authenticate> = Arc::new(Recorded {
            inner,
            log: audit.clone(),
            origin: origin.clone(),
            marks: RandomState::new(),
        });
        let gate = Gate::new(authenticate.clone(), policy.clone()).recorded(audit.clone(), origin.clone());
        metrics.register(
            "storage_wrong_bytes",
            "Answers that were broken off since storage sent other bytes than those of the blob",
            blobs.wrong_bytes(),
        );
        metrics.register(
            "storage_lost_blobs",
            "Requests for blobs whose bytes storage has lost; `check` names the blobs",
            blobs.lost_blobs(),
        );
        Ok(Self {
            config: Arc::new(config),
            catalog,
            store,
            clock,
            blobs,
            records,
            manifests,
            logins,
            tokens,
            authenticate,
            gate,
            policy,
            audit,
            origin,
            metrics,
            collection,
            stop: CancellationToken::new(),
        })
    }

    /// `/v2/` and `/api/v1/`, and `/token` where tokens are issued.
    pub fn router(&self) -> Router {
        let mut settings = http_settings(&self.config, &self.origin);
        settings.rates = Rates::new(&self.config.rates.settings(), self.clock.clone()).map(Arc::new);
        let api = Api::new(
            self.catalog.clone(),
            self.blobs.clone(),
            self.manifests.clone(),
            self.gate.clone(),
            settings,
        );
        let mut router = http::router(api).merge(api::router(self.clone()));
        if let Some(tokens) = self.tokens.clone().filter(|tokens| tokens.issues()) {
            let authenticate = self.authenticate.clone();
            router = router.merge(http::token::router(TokenServer { tokens, authenticate }));
        }
        if self.config.auth.enabled || self.config.server.insecure_open {
            return router;
        }
        router.layer(from_fn_with_state(self.origin.clone(), http::known_host))
    }

    /// Has the catalog keep the configured quotas from now on. A server does; a command that restores what
    /// was there once must not be stopped by a limit.
    pub fn keep_quotas(&self) {
        let rules = self.config.quotas.rules();
        self.catalog.govern(NamespaceRules {
            limit_of: Arc::new(move |namespace| rules.limit_of(namespace)),
            max_repositories: self.config.caps.repositories_per_namespace,
        });
    }

    /// Waits for writes under way and closes what is open.
    pub async fn close(&self) {
        self.stop.cancel();
        self.blobs.settled().await;
        self.collection.collector.settled().await;
        if let Err(error) = self.records.flush().await {
            tracing::warn!("Records that are written will be written again at the next start: {error}");
        }
        self.audit.close().await;
        self.catalog.close().await;
    }
}

/// The catalog, and the clock that goes with it: several replicas go by their database's.
async fn open_catalog(config: &Config) -> Result<(Arc<dyn Catalog>, Arc<dyn Clock>), OpenError> {
    match config.catalog.database() {
        Database::Sqlite => {
            let dir = config.catalog.dir.as_ref().unwrap_or(&config.data.dir);
            let catalog = SqliteCatalog::open(dir, SqliteOptions::default()).await?;
            Ok((Arc::new(catalog), Arc::new(SystemClock)))
        }
        Database::Postgres(url) => {
            let options = PostgresOptions {
                connections: config.catalog.max_connections,
                ..PostgresOptions::new(url.reveal())
            };
            let catalog = PostgresCatalog::open(&options).await?;
            let clock = catalog.clock();
            Ok((Arc::new(catalog), Arc::new(clock)))
        }
    }
}

/// Opens the storage of a configuration.
///
/// # Errors
/// When it cannot be opened.
pub async fn open_storage(config: &Config) -> Result<Arc<dyn BlobStore>, StartError> {
    storage::open(config).await
}

/// Rules are asked where callers say who they are, and where somebody wrote rules into the configuration all the
/// same: then everybody is anonymous to them.
async fn open_policy(config: &Config, catalog: &dyn Catalog) -> Result<Policy, StartError> {
    let configured = config.policy.rules.0.clone();
    if !config.auth.enabled && configured.is_empty() {
        return Ok(Policy::Open);
    }
    let live = Live::new(configured).map_err(StartError::Policy)?;
    live.refresh(catalog).await.map_err(OpenError::from)?;
    Ok(Policy::Rules(live))
}

fn blob_settings(config: &Config) -> blobs::Settings {
    blobs::Settings {
        upload_expiry: config.uploads.expiry,
        max_blob_bytes: config.uploads.max_blob_size.map(|size| size.0),
        min_chunk_bytes: config.uploads.min_chunk.map_or(0, |size| size.0),
        max_uploads: config.uploads.max_sessions,
        lease: config.gc.lease,
        max_uploads_per_user: config.caps.sessions_per_user,
        ..blobs::Settings::default()
    }
}

fn manifest_settings(config: &Config) -> manifests::Settings {
    manifests::Settings {
        sparse_indexes: config.manifests.sparse_indexes,
        sparse_images: config.manifests.sparse_images,
        max_depth: berth_oci::manifest::MAX_INDEX_DEPTH,
        immutable: Immutable::new(config.tags.immutable.clone()),
        blob_lease: config.gc.lease,
        undelete: !config.gc.undelete.is_zero(),
        most: manifests::PerRepository {
            manifests: config.caps.manifests_per_repository,
            tags: config.caps.tags_per_repository,
        },
    }
}

fn gc_settings(config: &Config) -> gc::Settings {
    gc::Settings {
        grace: config.gc.grace,
        untagged: config.gc.untagged,
        lease: config.gc.lease,
        clock_skew: config.gc.clock_skew,
        undelete: config.gc.undelete,
        rules: config.retention.rules(),
        immutable: Immutable::new(config.tags.immutable.clone()),
    }
}

fn http_settings(config: &Config, origin: &Arc<Origin>) -> http::Settings {
    http::Settings {
        max_manifest_bytes: usize::try_from(config.manifests.max_size.0).unwrap_or(usize::MAX),
        deletes: config.delete.enabled,
        origin: origin.clone(),
        redirects: redirects(config),
        rates: None,
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
