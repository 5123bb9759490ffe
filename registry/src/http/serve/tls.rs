//! TLS from a certificate and a key in PEM files, read again when they change.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there or holds no PEM.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{0}: no certificate in it")]
    Empty(PathBuf),
    /// Certificate and key cannot be used, or not together.
    #[error("certificate and key: {0}")]
    Unusable(#[from] rustls::Error),
}

/// A certificate and key in force, and the files they came from.
#[derive(Debug)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: ArcSwap<ServerConfig>,
    seen: Mutex<Option<[(SystemTime, u64); 2]>>,
}

impl Tls {
    /// Reads both files. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub fn load(cert: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let config = read(&cert, &key)?;
        let tls = Self { cert, key, config: ArcSwap::from_pointee(config), seen: Mutex::default() };
        *tls.seen.lock().unwrap_or_else(PoisonError::into_inner) = tls.stamps();
        Ok(tls)
    }

    /// What new connections use.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again. On an error, what was in force stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        // Noted before they are read: a change in between is seen next time.
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = self.stamps();
        self.config.store(Arc::new(read(&self.cert, &self.key)?));
        Ok(())
    }

    fn stamps(&self) -> Option<[(SystemTime, u64); 2]> {
        let stamp = |path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        Some([stamp(&self.cert)?, stamp(&self.key)?])
    }

    /// Reloads when a file changed (looked at every few seconds) and on SIGHUP, until `stop`.
    pub async fn watch(&self, stop: CancellationToken) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut look = tokio::time::interval(LOOK);
        loop {
            let told = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = look.tick() => false,
                _ = hangup.recv() => true,
            };
            let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if !told && self.stamps() == seen {
                continue;
            }
            match self.reload() {
                Ok(()) => tracing::info!(cert = %self.cert.display(), "The TLS certificate was read again"),
                Err(error) => tracing::error!("The old TLS certificate stays in force: {error}"),
            }
        }
    }
}

fn read(cert: &PathBuf, key: &PathBuf) -> Result<ServerConfig, TlsError> {
    let fault = |path: &PathBuf| {
        let path = path.clone();
        move |error| TlsError::File { path, error }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(fault(cert))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(cert.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(fault(key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Makes AWS-LC the cryptography of every rustls in the process. Safe to repeat.
pub fn install_crypto_provider() {
    // An error says that there is one already, which can only be the same.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
