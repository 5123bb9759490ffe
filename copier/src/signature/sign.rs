//! Making signatures: simple ones through the `gpg` program, which has the user's keys, and sigstore's by a key file.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_oci::{Digest, Reference};
use jiff::Timestamp;
use tokio::{io::AsyncWriteExt, process::Command};

use super::{
    SIGSTORE_PAYLOAD, Sign, Signature, annotation,
    payload::{Kind, Payload},
    sigstore::{MAX_KEY_BYTES, PrivateKey},
};
use crate::{Error, RawManifest, Result, Secret};

/// Most bytes of a file with a passphrase.
const MAX_PASSPHRASE_BYTES: u64 = 64 * 1024;

/// Reads a passphrase: the file's first line (`--sign-passphrase-file`).
///
/// # Errors
/// If it cannot be read or is no text.
pub fn read_passphrase(path: &Path) -> Result<Secret> {
    let content = crate::policy::read(path, MAX_PASSPHRASE_BYTES)?;
    let text = std::str::from_utf8(&content);
    let fault =
        |_| Error::Configuration { path: path.to_owned(), fault: "the passphrase is no UTF-8".to_owned() };
    Ok(Secret::new(text.map_err(fault)?.lines().next().unwrap_or_default()))
}

/// The manifest's digest and the full name that a signature is to speak of.
fn claim(manifest: &RawManifest, identity: &Reference) -> Result<Payload> {
    if identity.tag().is_none() && identity.digest().is_none() {
        return Err(Error::Usage(format!(
            "a signature needs a full name with a tag or a digest, and {identity} has neither; give one by --sign-identity"
        )));
    }
    let digest = Digest::of(manifest.digest.algorithm(), &manifest.raw);
    Ok(Payload::new(identity, &digest, Timestamp::now()))
}

/// Signs with a key of `gpg` (`--sign-by`).
#[derive(Clone, Debug)]
pub struct GpgSigner {
    key: String,
    passphrase: Option<Secret>,
    home: Option<PathBuf>,
}

impl GpgSigner {
    /// By the key with this fingerprint (or whatever else names one key to gpg). Without a passphrase gpg's agent asks for
    /// it.
    ///
    /// # Errors
    /// If the passphrase has more than one line, which gpg cannot be told.
    pub fn new(key: impl Into<String>, passphrase: Option<Secret>) -> Result<Self> {
        if passphrase.as_ref().is_some_and(|passphrase| passphrase.expose().contains(['\n', '\r'])) {
            return Err(Error::Usage("invalid passphrase: it must not contain a line break".to_owned()));
        }
        Ok(Self { key: key.into(), passphrase, home: None })
    }

    /// With the keys of another GnuPG folder than the user's.
    #[must_use]
    pub fn with_home(self, home: impl Into<PathBuf>) -> Self {
        Self { home: Some(home.into()), ..self }
    }

    /// Signs a claim.
    ///
    /// # Errors
    /// If gpg is missing, has no such key, or is not given its passphrase.
    pub async fn sign_payload(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--no-tty", "--quiet", "--no-armor"]);
        if let Some(home) = &self.home {
            command.arg("--homedir").arg(home);
        }
        let mut input = Vec::new();
        if let Some(passphrase) = &self.passphrase {
            command.args(["--pinentry-mode", "loopback", "--passphrase-fd", "0"]);
            // gpg reads the passphrase's line off its input byte by byte; what follows is what it signs.
            input.extend_from_slice(passphrase.expose().as_bytes());
            input.push(b'\n');
        }
        input.extend_from_slice(payload);
        command.arg("--local-user").arg(&self.key).args(["--output", "-", "--sign"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| match source.kind() {
            ErrorKind::NotFound => Error::Unsupported(
                "--sign-by signs through the program gpg, which is not in PATH; install GnuPG, or sign by \
                 --sign-by-sigstore-private-key"
                    .to_owned(),
            ),
            _ => Error::Other { what: "running gpg".to_owned(), source: source.into() },
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // gpg closes its input early where it refuses; its own words, below, say why.
            match stdin.write_all(&input).await {
                Err(fault) if fault.kind() != ErrorKind::BrokenPipe => {
                    return Err(Error::Other { what: "writing to gpg".to_owned(), source: fault.into() });
                }
                _ => {}
            }
        }
        let other =
            |source: std::io::Error| Error::Other { what: "running gpg".to_owned(), source: source.into() };
        let output = child.wait_with_output().await.map_err(other)?;
        if !output.status.success() || output.stdout.is_empty() {
            let said: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(1000).collect();
            let what = format!("signing by the key {}", self.key);
            return Err(Error::Other { what, source: said.replace('\n', "; ").into() });
        }
        Ok(output.stdout)
    }
}

#[async_trait]
impl Sign for GpgSigner {
    fn is_sigstore(&self) -> bool {
        false
    }

    async fn sign(&self, manifest: &RawManifest, identity: &Reference) -> Result<Signature> {
        let payload = claim(manifest, identity)?.to_bytes(Kind::Simple);
        Ok(Signature::Simple(self.sign_payload(&payload).await?.into()))
    }
}

/// Signs with a sigstore private key (`--sign-by-sigstore-private-key`).
#[derive(Debug)]
pub struct SigstoreSigner {
    key: PrivateKey,
}

impl SigstoreSigner {
    /// By a key.
    #[must_use]
    pub const fn new(key: PrivateKey) -> Self {
        Self { key }
    }

    /// By the key in a file, as [`super::sigstore::generate_key_pair`], cosign and Skopeo write it.
    ///
    /// # Errors
    /// If it cannot be read, is no such key, or the passphrase is not its.
    pub fn from_file(path: &Path, passphrase: &Secret) -> Result<Self> {
        let content = crate::policy::read(path, MAX_KEY_BYTES)?;
        let key = PrivateKey::from_pem(&content, passphrase);
        let key = key.map_err(|fault| Error::Configuration { path: path.to_owned(), fault })?;
        Ok(Self { key })
    }
}

#[async_trait]
impl Sign for SigstoreSigner {
    fn is_sigstore(&self) -> bool {
        true
    }

    async fn sign(&self, manifest: &RawManifest, identity: &Reference) -> Result<Signature> {
        let payload = claim(manifest, identity)?.to_bytes(Kind::Sigstore);
        let fault = |fault: String| Error::Other { what: "signing".to_owned(), source: fault.into() };
        let signature = self.key.sign(&payload).map_err(fault)?;
        Ok(Signature::Sigstore {
            media_type: SIGSTORE_PAYLOAD.to_owned(),
            payload: payload.into(),
            annotations: BTreeMap::from([(annotation::SIGNATURE.to_owned(), STANDARD.encode(signature))]),
        })
    }
}
