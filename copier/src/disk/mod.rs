//! Files of this machine: below a handle to their directory, streamed by threads of their own.

mod folder;
mod holds;
mod read;
mod receive;
mod scratch;
#[cfg(test)]
mod tests;
mod write;

use berth_oci::{Algorithm, Digest, MediaType, VerifyError, manifest::MAX_MANIFEST_BYTES};
use bytes::Bytes;

use crate::{Error, RawManifest, Result};

pub(crate) use folder::{Folder, Lock};
pub(crate) use holds::holds;
pub(crate) use read::{FileContent, Opener, bounded, read};
pub(crate) use receive::receive;
pub(crate) use scratch::Scratch;
pub(crate) use write::{Filled, fill};

/// Runs what waits for a disk where waiting is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(fault) => Err(Error::Other { what: "reading or writing files".to_owned(), source: fault.into() }),
    }
}

/// Takes a manifest's bytes that were asked for by `digest`.
///
/// # Errors
/// `Error::Integrity` if they have another.
pub(crate) fn manifest_of(
    raw: Bytes,
    media_type: Option<MediaType>,
    digest: &Digest,
    place: &str,
) -> Result<RawManifest> {
    let found = Digest::of(digest.algorithm(), &raw);
    if found != *digest {
        return Err(Error::Integrity(format!(
            "manifest {digest} in {place} is {found}; the file was changed"
        )));
    }
    Ok(RawManifest { raw, media_type, digest: found })
}

/// Reads a manifest's file, at most 4 MiB.
pub(crate) fn read_manifest(folder: &Folder, name: &str) -> Result<Option<Bytes>> {
    folder.read(name, MAX_MANIFEST_BYTES as u64)
}

/// Asserts that a blob that was told has the length it should have.
pub(crate) fn check_length(digest: &Digest, expected: u64, found: u64) -> Result<(), VerifyError> {
    let digest = || digest.clone();
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => Err(VerifyError::TooShort { digest: digest(), expected, found }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(VerifyError::TooLong { digest: digest(), expected }),
    }
}

/// The algorithm of blobs whose digest is found out here.
pub(crate) const OWN_ALGORITHM: Algorithm = Algorithm::Sha256;
