//! Simple signatures as files of their own: what `standalone-sign`, `standalone-verify` and
//! `untrusted-signature-dump-without-verification` do, and the key files of `generate-sigstore-key`.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use berth_oci::{Digest, Reference};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    GpgSigner, Rejection, Sign, Signature,
    json::quoted,
    openpgp::{self, Keyring},
    payload::{Kind, Payload},
    sigstore,
};
use crate::{Error, RawManifest, Result, Secret};

/// What a signature vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Fingerprint of the key.
    pub fingerprint: String,
    /// Digest of the manifest.
    pub digest: Digest,
}

/// Which keys may have made a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fingerprints {
    /// Any of the keyring (`any`).
    Any,
    /// These of the keyring.
    Only(Vec<String>),
}

impl std::str::FromStr for Fingerprints {
    type Err = Error;

    /// `any`, or fingerprints with commas between.
    fn from_str(text: &str) -> Result<Self> {
        if text == "any" {
            return Ok(Self::Any);
        }
        let listed: Vec<String> = text.split(',').map(|print| print.trim().to_uppercase()).collect();
        if listed.iter().any(|print| print.is_empty() || !print.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(Error::Usage(format!(
                "{}: expected fingerprints with commas between, or any",
                quoted(text)
            )));
        }
        Ok(Self::Only(listed))
    }
}

/// Signs a manifest's bytes under a name with the key of `gpg` that has this fingerprint, and gives the signature's bytes.
///
/// # Errors
/// As [`GpgSigner`].
pub async fn sign(
    manifest: &[u8],
    reference: &Reference,
    fingerprint: &str,
    passphrase: Option<Secret>,
) -> Result<Vec<u8>> {
    let manifest = RawManifest::new(manifest.to_vec().into(), None);
    let signature = GpgSigner::new(fingerprint, passphrase)?.sign(&manifest, reference).await?;
    Ok(signature.to_file_bytes())
}

/// Verifies that a key of `public_keys` (a keyring) with one of the fingerprints signed that `reference` is this manifest.
///
/// # Errors
/// `Error::Usage` for a keyring that is none; `Error::Refused` for a signature that does not say so.
pub fn verify(
    manifest: &[u8],
    reference: &Reference,
    fingerprints: &Fingerprints,
    signature: &[u8],
    public_keys: &[u8],
) -> Result<Verified> {
    let ring = Keyring::parse(public_keys).map_err(|fault| Error::Usage(format!("public keys: {fault}")))?;
    check(manifest, reference, fingerprints, signature, &ring)
        .map_err(|Rejection(reason)| Error::Refused(format!("verifying signature: {reason}")))
}

fn check(
    manifest: &[u8],
    reference: &Reference,
    fingerprints: &Fingerprints,
    signature: &[u8],
    ring: &Keyring,
) -> Result<Verified, Rejection> {
    let message = match Signature::from_file_bytes(signature) {
        Ok(Signature::Simple(message)) => message,
        Ok(Signature::Sigstore { .. }) => {
            return Err(Rejection("it is a sigstore signature, not a simple one".to_owned()));
        }
        Err(fault) => return Err(Rejection(fault.to_string())),
    };
    let verified = ring.verify(&message, Timestamp::now())?;
    let known = match fingerprints {
        Fingerprints::Any => true,
        // A subkey may be named in place of its key, as gpg's users do.
        Fingerprints::Only(listed) => {
            listed.iter().any(|print| *print == verified.fingerprint || *print == verified.signed_by)
        }
    };
    if !known {
        return Err(Rejection(format!("Signature by key {} is not accepted", verified.fingerprint)));
    }
    let payload = Payload::parse(Kind::Simple, &verified.content)?;
    if payload.reference.parse::<Reference>().as_ref() != Ok(reference) {
        return Err(Rejection(format!(
            "Signature for identity {} does not match {reference}",
            quoted(&payload.reference)
        )));
    }
    payload.verify_digest(manifest)?;
    let digest = payload.digest.parse().map_err(|_| Rejection("Signature without a digest".to_owned()))?;
    Ok(Verified { fingerprint: verified.fingerprint, digest })
}

/// What a signature claims. Nothing of it was verified: it is for looking at, never for deciding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UntrustedInformation {
    /// The manifest's digest.
    #[serde(rename = "UntrustedDockerManifestDigest")]
    pub digest: String,
    /// The name.
    #[serde(rename = "UntrustedDockerReference")]
    pub reference: String,
    /// The program that made it.
    #[serde(rename = "UntrustedCreatorID")]
    pub creator: Option<String>,
    /// When it was made (RFC 3339).
    #[serde(rename = "UntrustedTimestamp")]
    pub timestamp: Option<String>,
    /// The id of the key.
    #[serde(rename = "UntrustedShortKeyIdentifier")]
    pub key: String,
}

/// Reads what a simple signature claims, without verifying anything.
///
/// # Errors
/// If it is none.
pub fn dump_without_verification(signature: &[u8]) -> Result<UntrustedInformation> {
    let read = || {
        let message = match Signature::from_file_bytes(signature) {
            Ok(Signature::Simple(message)) => message,
            Ok(Signature::Sigstore { .. }) => return Err(Rejection("it is a sigstore signature".to_owned())),
            Err(fault) => return Err(Rejection(fault.to_string())),
        };
        let (keys, content) = openpgp::read_without_verification(&message)?;
        let payload = Payload::parse(Kind::Simple, &content)?;
        let timestamp = payload.timestamp.and_then(|second| Timestamp::from_second(second).ok());
        // The 64-bit id: of a key's name, the last sixteen characters.
        let key = keys.first().map(|key| key[key.len().saturating_sub(16)..].to_owned()).unwrap_or_default();
        Ok(UntrustedInformation {
            digest: payload.digest,
            reference: payload.reference,
            creator: payload.creator,
            timestamp: timestamp.map(|timestamp| timestamp.to_string()),
            key,
        })
    };
    read().map_err(|Rejection(reason)| Error::Integrity(format!("decoding untrusted signature: {reason}")))
}

/// The files of a new key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// `PREFIX.pub`.
    pub public: PathBuf,
    /// `PREFIX.private`, for its owner alone.
    pub private: PathBuf,
}

/// Makes a sigstore key pair and writes it to `PREFIX.pub` and `PREFIX.private`. Nothing is overwritten.
///
/// # Errors
/// If one of them exists or cannot be written.
pub fn generate_key_files(prefix: &Path, passphrase: &Secret) -> Result<KeyFiles> {
    let named = |suffix: &str| {
        let mut path = prefix.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    let files = KeyFiles { public: named(".pub"), private: named(".private") };
    // Looked at first, so that no half of a pair is left behind where the other half is in the way.
    for path in [&files.private, &files.public] {
        if path.symlink_metadata().is_ok() {
            return Err(Error::Usage(format!(
                "Refusing to overwrite existing {}",
                quoted(&path.to_string_lossy())
            )));
        }
    }
    let pair = sigstore::generate_key_pair(passphrase)
        .map_err(|fault| Error::Other { what: "making a key pair".to_owned(), source: fault.into() })?;
    write_new(&files.private, pair.private.expose(), 0o600)?;
    write_new(&files.public, &pair.public, 0o644)?;
    Ok(files)
}

fn write_new(path: &Path, content: &str, mode: u32) -> Result<()> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(Error::file(path))?;
    file.write_all(content.as_bytes()).map_err(Error::file(path))
}
