//! certs.d: the certificates that a registry's connections are made with (containers-certs.d(5)).

#[cfg(test)]
mod tests;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{Environment, read};
use crate::{Error, Result};

/// What one host has besides the system's own roots. Nothing at all is the usual case.
#[derive(Debug, Default)]
pub struct HostCertificates {
    /// `*.crt`: more roots to trust, beside the system's.
    pub roots: Vec<CertificateDer<'static>>,
    /// `*.cert` with `*.key`: who to be.
    pub clients: Vec<ClientCertificate>,
}

/// A certificate to show, with its key.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The certificate, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key: PKCS #8, PKCS #1 or SEC 1. Its `Debug` does not show it.
    pub key: PrivateKeyDer<'static>,
}

impl HostCertificates {
    /// Reads the certificates for a `host[:port]`: those of `cert_dir`, or else of the first folder that there is for the
    /// host. A folder that may not be read counts as empty, with a warning: it is somebody else's.
    ///
    /// # Errors
    /// `Error::Configuration` for half a pair, and a pair that holds no certificate or key; `Error::File` for a file that
    /// cannot be read. What in `*.crt` is no certificate is passed over with a warning.
    pub fn find(host: &str, cert_dir: Option<&Path>) -> Result<Self> {
        Self::find_in(host, cert_dir, &Environment::from_process())
    }

    /// [`Self::find`] with another environment than the process's.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub fn find_in(host: &str, cert_dir: Option<&Path>, environment: &Environment) -> Result<Self> {
        if let Some(folder) = cert_dir {
            return Self::read(folder);
        }
        // It becomes a part of a path.
        if host.is_empty() || host.starts_with('.') || host.contains(['/', '\\', '\0']) {
            return Err(Error::Usage(format!(
                "{host:?} is no host with an optional port, like example.org:5000"
            )));
        }
        for folder in folders(host, environment) {
            match fs::metadata(&folder) {
                Ok(_) => return Self::read(&folder),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::PermissionDenied => skipped(&folder),
                Err(error) => return Err(Error::file(folder)(error)),
            }
        }
        Ok(Self::default())
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.clients.is_empty()
    }

    fn read(folder: &Path) -> Result<Self> {
        let files = match read::folder(folder, &["crt", "cert", "key"]) {
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                skipped(folder);
                return Ok(Self::default());
            }
            files => files?,
        };
        let mut all = Self::default();
        for file in &files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => all.roots.extend(roots(file)?),
                Some("cert") => {
                    let key = other_half(
                        file,
                        "key",
                        &files,
                        "the key of this client certificate is missing; a root certificate ends in .crt",
                    )?;
                    all.clients.push(ClientCertificate { chain: chain(file)?, key: private_key(&key)? });
                }
                _ => drop(other_half(file, "cert", &files, "the client certificate of this key is missing")?),
            }
        }
        Ok(all)
    }
}

fn folders(host: &str, environment: &Environment) -> Vec<PathBuf> {
    let home = environment.in_home(".config/containers/certs.d");
    let system = ["etc/containers/certs.d", "etc/docker/certs.d"].map(|path| environment.system(path));
    home.into_iter().chain(system).map(|folder| folder.join(host)).collect()
}

fn skipped(folder: &Path) {
    tracing::warn!("{}: passed over, since it may not be read", folder.display());
}

fn other_half(file: &Path, extension: &str, files: &[PathBuf], rule: &str) -> Result<PathBuf> {
    let other = file.with_extension(extension);
    if files.contains(&other) {
        return Ok(other);
    }
    Err(fault(&other, format!("not there: {rule} ({})", file.display())))
}

/// What can be taken for a root. The rest of a file is passed over, as other tools do: people keep all kinds of files under
/// this name, and a root that is missing is told by the connection.
fn roots(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    // A link to nothing, or a file that went away since.
    let Some(bytes) = read::file(file)? else {
        tracing::warn!("{}: passed over, since it is not there", file.display());
        return Ok(Vec::new());
    };
    let (mut roots, mut faults) = (Vec::new(), 0_usize);
    for found in CertificateDer::pem_slice_iter(&bytes) {
        match found {
            Ok(root) if RootCertStore::empty().add(root.clone()).is_ok() => roots.push(root),
            _ => faults += 1,
        }
    }
    if faults > 0 || roots.is_empty() {
        tracing::warn!(
            "{}: {} certificates are taken for roots, and {faults} sections are passed over, since they are none in PEM",
            file.display(),
            roots.len()
        );
    }
    Ok(roots)
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    // Of the error nothing is told: it quotes the file.
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&required(file)?).collect();
    found.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
        fault(file, "no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----".to_owned())
    })
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    // Of the error nothing is told: it could quote the key.
    PrivateKeyDer::from_pem_slice(&required(file)?).map_err(|_| {
        fault(file, "no private key in PEM without a password (PKCS #8, PKCS #1 or SEC 1)".to_owned())
    })
}

fn required(file: &Path) -> Result<Vec<u8>> {
    read::file(file)?.ok_or_else(|| fault(file, "went away while it was read".to_owned()))
}

fn fault(file: &Path, fault: String) -> Error {
    Error::Configuration { path: file.to_owned(), fault }
}
