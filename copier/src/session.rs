//! What one process shares between all its copies.

#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use berth_oci::{Platform, Reference};

use crate::{
    Error, ImageName, Result, Secret, Sink, Source, archive, copy, daemon, dir, layout, policy::Policy,
    remote,
};

/// Settings of the whole process: Skopeo's global flags.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--registries-conf`; `None` looks in the usual places.
    pub registries_conf: Option<PathBuf>,
    /// `--registries.d`; `None` looks in the usual places.
    pub registries_d: Option<PathBuf>,
    /// `--policy`; `None` looks in the usual places.
    pub policy: Option<PathBuf>,
    /// `--insecure-policy`: everything is accepted.
    pub insecure_policy: bool,
    /// `--require-signed`: what no signature vouches for is refused, whatever the policy's default is.
    pub require_signed: bool,
    /// `--tmpdir`; `None` is the system's.
    pub tmpdir: Option<PathBuf>,
    /// `--user-agent-prefix`.
    pub user_agent_prefix: Option<String>,
    /// `--override-os`, `--override-arch`, `--override-variant` over the host's platform.
    pub platform: Platform,
    /// `--retry-times` and `--retry-delay`. Safe requests are tried again on their own besides.
    pub retry: Retry,
    /// Hosts that a token service may be on, besides the registry's own domain (C1).
    pub trusted_token_hosts: Vec<String>,
    /// Hosts that may receive an upload's body besides the registry's own (C4).
    pub trusted_upload_hosts: Vec<String>,
}

/// How often a whole operation is tried again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retry {
    /// Times after the first.
    pub times: u32,
    /// Between two of them; `None` grows from a second.
    pub delay: Option<Duration>,
}

/// Settings of one side of a copy: Skopeo's `--src-…` and `--dest-…` flags.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// `--authfile`.
    pub authfile: Option<PathBuf>,
    /// `--creds`, or `--username` with `--password`.
    pub credentials: Option<(String, Secret)>,
    /// `--no-creds`.
    pub anonymous: bool,
    /// `--registry-token`: a bearer token to send as it is.
    pub registry_token: Option<Secret>,
    /// `--cert-dir`.
    pub cert_dir: Option<PathBuf>,
    /// `--tls-verify`; `None` lets registries.conf say (`insecure`), else true. False takes any certificate, and plain
    /// HTTP where nothing answers HTTPS.
    pub tls_verify: Option<bool>,
    /// `--daemon-host`.
    pub daemon_host: Option<String>,
    /// `--shared-blob-dir`.
    pub shared_blob_dir: Option<PathBuf>,
    /// `--dest-oci-accept-uncompressed-layers`.
    pub accept_uncompressed_layers: bool,
    /// `--additional-tag`, for docker-archive: and docker-daemon: destinations; for others opening the sink fails.
    pub additional_tags: Vec<Reference>,
}

/// Connections, tokens and what is known of blobs. Cheap to clone; all clones are one session.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    remote: remote::Client,
    flights: copy::Flights,
    policy: OnceLock<Policy>,
}

impl Session {
    /// Reads the configuration files that the settings name (or the usual ones).
    ///
    /// # Errors
    /// `Error::Configuration` with every fault of a file at once.
    pub fn new(settings: Settings) -> Result<Self> {
        let remote = remote::Client::new(&settings)?;
        Ok(Self {
            inner: Arc::new(Inner {
                settings,
                remote,
                flights: copy::Flights::default(),
                policy: OnceLock::new(),
            }),
        })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The registry client.
    #[must_use]
    pub fn remote(&self) -> &remote::Client {
        &self.inner.remote
    }

    /// The policy that images must satisfy, read when it is asked for first.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn policy(&self) -> Result<&Policy> {
        if let Some(policy) = self.inner.policy.get() {
            return Ok(policy);
        }
        let policy = Policy::load(&self.inner.settings)?;
        Ok(self.inner.policy.get_or_init(|| policy))
    }

    /// The blobs that copies of this process have on their way.
    pub(crate) fn flights(&self) -> &copy::Flights {
        &self.inner.flights
    }

    /// Opens an image to read.
    ///
    /// # Errors
    /// If it is not there, or may not be read. For registries the first request is made when something is asked.
    pub async fn source(&self, name: &ImageName, side: &Side) -> Result<Box<dyn Source>> {
        match name {
            ImageName::Docker { reference, .. } => remote::source(self, name, reference, side).await,
            ImageName::Dir(path) => dir::source(name, path).await,
            ImageName::Oci { path, image } => layout::source(name, path, image, side).await,
            ImageName::OciArchive { path, image } => {
                archive::layout::source(name, path, image, self.settings()).await
            }
            ImageName::DockerArchive { path, image } => {
                archive::docker::source(name, path, image, self.settings()).await
            }
            ImageName::DockerDaemon(image) => daemon::source(name, image, side, self.settings()).await,
        }
    }

    /// Opens a place to write.
    ///
    /// # Errors
    /// If it may not be written; `Error::Usage` for additional tags where it takes none.
    pub async fn sink(&self, name: &ImageName, side: &Side) -> Result<Box<dyn Sink>> {
        additional_tags_fit(name, side)?;
        match name {
            ImageName::Docker { reference, .. } => remote::sink(self, name, reference, side).await,
            ImageName::Dir(path) => dir::sink(name, path).await,
            ImageName::Oci { path, image } => layout::sink(name, path, image, side).await,
            ImageName::OciArchive { path, image } => {
                archive::layout::sink(name, path, image, side, self.settings()).await
            }
            ImageName::DockerArchive { path, image } => {
                archive::docker::sink(name, path, image, side, self.settings()).await
            }
            ImageName::DockerDaemon(image) => daemon::sink(name, image, side, self.settings()).await,
        }
    }

    /// Names of the images in a docker-archive, in its order; of one without a name, its place (`@0`). For `list-tags`.
    ///
    /// # Errors
    /// If the file is not there, or is no such archive.
    pub async fn archive_names(&self, path: &std::path::Path) -> Result<Vec<String>> {
        archive::docker::names(path, self.settings()).await
    }
}

fn additional_tags_fit(name: &ImageName, side: &Side) -> Result<()> {
    let way_out = match name {
        _ if side.additional_tags.is_empty() => return Ok(()),
        ImageName::DockerArchive { .. } | ImageName::DockerDaemon(_) => return Ok(()),
        ImageName::Docker { .. } => "copy again to each other name, whose blobs are at the registry by then",
        _ => "copy again to each other name",
    };
    Err(Error::Usage(format!(
        "{name}: --additional-tag is for docker-archive: and docker-daemon: destinations only; {way_out}"
    )))
}
