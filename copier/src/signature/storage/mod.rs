//! Where signatures are kept beside a registry: on a lookaside server (or in a folder), and in the registry itself as
//! sigstore attachments. registries.d says which (containers-registries.d(5)).
//!
//! Whoever can write there decides how much there is, so at most [`MAX_SIGNATURES`] of at most 4 MiB each and 16 MiB
//! together are read of each (C9). What is left out is said in a warning, and vouches for nothing.

mod attachment;
mod lookaside;
#[cfg(test)]
mod tests;

use berth_oci::Digest;

use super::{MAX_SIGNATURE_BYTES, MAX_SIGNATURES, Signature};
use crate::{Error, Result, config::Storage, remote::Repository};

/// Most bytes of one manifest's signatures in one store.
const MAX_TOTAL_BYTES: usize = 16 * 1024 * 1024;

/// Reads the signatures of a manifest, in the order in which they were stored; none where nothing is kept.
///
/// # Errors
/// If a store cannot be read. That a server has no signatures is no error; that it does not answer is one.
pub async fn read(repository: &Repository, storage: &Storage, manifest: &Digest) -> Result<Vec<Signature>> {
    let mut signatures = match &storage.lookaside {
        Some(base) => lookaside::read(repository, base, manifest).await?,
        None => Vec::new(),
    };
    if storage.use_sigstore_attachments {
        signatures.extend(attachment::read(repository, manifest).await?);
    }
    Ok(signatures)
}

/// Stores signatures of a manifest beside those that are there; one that is there already is not stored twice. Simple
/// signatures go to the lookaside folder, sigstore's into the registry.
///
/// # Errors
/// If the configuration has no place for one of them, or a store cannot be written.
pub async fn write(
    repository: &Repository,
    storage: &Storage,
    manifest: &Digest,
    signatures: &[Signature],
) -> Result<()> {
    let (sigstore, simple): (Vec<_>, Vec<_>) =
        signatures.iter().partition(|signature| matches!(signature, Signature::Sigstore { .. }));
    check(repository, storage, !simple.is_empty(), !sigstore.is_empty())?;
    if let (Some(base), false) = (&storage.lookaside_staging, simple.is_empty()) {
        lookaside::write(repository, base, manifest, &simple).await?;
    }
    if !sigstore.is_empty() {
        attachment::write(repository, manifest, &sigstore).await?;
    }
    Ok(())
}

/// Asserts that the configuration has a place for signatures of these kinds.
///
/// # Errors
/// `Error::Unsupported` with the setting that gives them one.
pub fn check(repository: &Repository, storage: &Storage, simple: bool, sigstore: bool) -> Result<()> {
    let place = repository.reference();
    if simple && storage.lookaside_staging.is_none() {
        return Err(Error::Unsupported(format!(
            "{place}: no place for simple signatures is configured; set lookaside-staging for it in registries.d, or copy \
             with --remove-signatures"
        )));
    }
    if sigstore && !storage.use_sigstore_attachments {
        return Err(Error::Unsupported(format!(
            "{place}: writing sigstore attachments is disabled by configuration; set use-sigstore-attachments for it in \
             registries.d, or copy with --remove-signatures"
        )));
    }
    Ok(())
}

/// What one store may still hold of one manifest's signatures.
#[derive(Default)]
struct Budget {
    count: usize,
    bytes: usize,
}

impl Budget {
    /// Takes one signature of this size into account. Where that is too much, answers false, with a warning.
    fn admit(&mut self, size: usize, place: &dyn std::fmt::Display) -> bool {
        self.bytes = self.bytes.saturating_add(size);
        let fits =
            self.count < MAX_SIGNATURES && size <= MAX_SIGNATURE_BYTES && self.bytes <= MAX_TOTAL_BYTES;
        if fits {
            self.count += 1;
        } else {
            tracing::warn!(
                "{place}: only the first {} signatures are looked at: at most {MAX_SIGNATURES} of {MAX_SIGNATURE_BYTES} bytes \
                 each, and {MAX_TOTAL_BYTES} bytes together",
                self.count
            );
        }
        fits
    }
}
