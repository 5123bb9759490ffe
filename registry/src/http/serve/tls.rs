//! TLS from a certificate and a key in PEM files, read again when they change.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use x509_parser::extensions::GeneralName;

use crate::auth::names::is_certificate_name;

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
    /// The authorities of client certificates cannot be used.
    #[error("client_ca: {0}")]
    Authorities(#[from] VerifierBuilderError),
}

/// Where certificate and key are, and the authorities of clients' certificates.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate and those above it, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Whoever shows a certificate that one of these signed has its name.
    pub client_ca: Option<PathBuf>,
}

/// When each file was written, and how long it is.
type Stamps = Vec<Option<(SystemTime, u64)>>;

/// A certificate and key in force, and the files they came from.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    seen: Mutex<Stamps>,
}

impl Tls {
    /// Reads the files. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = read(&files)?;
        let tls = Self { files, config: ArcSwap::from_pointee(config), seen: Mutex::default() };
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
        self.config.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    fn stamps(&self) -> Stamps {
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let TlsFiles { cert, key, client_ca } = &self.files;
        [Some(cert), Some(key), client_ca.as_ref()].into_iter().flatten().map(stamp).collect()
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
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if !told && self.stamps() == seen {
                continue;
            }
            match self.reload() {
                Ok(()) => {
                    tracing::info!(cert = %self.files.cert.display(), "The TLS certificate was read again")
                }
                Err(error) => tracing::error!("The old TLS certificate stays in force: {error}"),
            }
        }
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = read.map_err(|error| TlsError::File { path: path.clone(), error })?;
    if chain.is_empty() { Err(TlsError::Empty(path.clone())) } else { Ok(chain) }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| TlsError::File { path: files.key.clone(), error })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(certificates(path)?, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes connections without a certificate and with one of an authority of ours; any other ends in the handshake.
fn verifier(
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    Ok(builder.allow_unauthenticated().build()?)
}

/// The name in a client's certificate: its one common name, or else its first alternative name.
pub(super) fn name_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let name = match (names.next(), names.next()) {
        (Some(name), None) => name.to_owned(),
        // Two could be read as two people.
        (Some(_), Some(_)) => return None,
        (None, _) => {
            let names = certificate.subject_alternative_name().ok()??;
            names.value.general_names.iter().find_map(|name| match name {
                GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                    Some((*name).to_owned())
                }
                _ => None,
            })?
        }
    };
    is_certificate_name(&name).then_some(name)
}

/// Makes AWS-LC the cryptography of every rustls in the process. Safe to repeat.
pub fn install_crypto_provider() {
    // An error says that there is one already, which can only be the same.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
