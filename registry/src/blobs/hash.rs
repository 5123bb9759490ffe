//! The hash of an upload, from its first byte to its last, through any number of requests.

use berth_hash::{Hasher, Kind};
use berth_oci::{Algorithm, Digest};
use futures_util::TryStreamExt;

use crate::{
    catalog::{CatalogError, ObjectKey},
    storage::{
        BlobBody, BlobStore, StorageError,
        lane::{Budget, Lane},
    },
};

/// Bytes of an object that are read at a time when it is read again.
const READ: usize = 256 * 1024;

/// Bytes that may wait for the hash, per upload.
pub(super) const IN_FLIGHT: u32 = 512 * 1024;

/// A hash and which one it is.
#[derive(Clone)]
pub(super) struct Hash {
    algorithm: Algorithm,
    hasher: Hasher,
}

const fn kind(algorithm: Algorithm) -> Kind {
    match algorithm {
        Algorithm::Sha256 => Kind::Sha256,
        Algorithm::Sha512 => Kind::Sha512,
    }
}

impl Hash {
    /// Of nothing so far.
    pub(super) fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, hasher: Hasher::new(kind(algorithm)) }
    }

    /// Which one it is.
    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Adds bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The digest of all bytes given.
    pub(super) fn digest(self) -> Digest {
        Digest::from_hash(self.algorithm, &self.hasher.finish())
    }

    /// The state, to go on from in another process: the algorithm's name, a colon, the hasher's state.
    pub(super) fn save(&self) -> Vec<u8> {
        let mut state = format!("{}:", self.algorithm).into_bytes();
        state.extend_from_slice(&self.hasher.save());
        state
    }

    /// Goes on from a saved state, which must be that of `offset` bytes.
    pub(super) fn restore(saved: &[u8], offset: u64) -> Result<Self, CatalogError> {
        let corrupt = |why: &str| CatalogError::Corrupt(format!("the hash of an upload: {why}").into());
        let colon = saved.iter().position(|&b| b == b':').ok_or_else(|| corrupt("no algorithm"))?;
        let name = std::str::from_utf8(&saved[..colon]).map_err(|_| corrupt("no algorithm"))?;
        let algorithm: Algorithm = name.parse().map_err(|_| corrupt("an unknown algorithm"))?;
        let hasher = Hasher::restore(kind(algorithm), &saved[colon + 1..])
            .map_err(|error| CatalogError::Corrupt(error.into()))?;
        if hasher.len() != offset {
            return Err(corrupt("it is of other bytes than are staged"));
        }
        Ok(Self { algorithm, hasher })
    }
}

/// The digest of an object's bytes, read again from storage.
pub(super) async fn digest_of(
    store: &dyn BlobStore,
    key: &ObjectKey,
    size: u64,
    algorithm: Algorithm,
    budget: &Budget,
) -> Result<Digest, StorageError> {
    let gone = || StorageError::Corrupt(format!("object {key}, written a moment ago, is gone"));
    let body = store.open(key, size, 0..size).await?.ok_or_else(gone)?;
    let lane = Lane::new(Hash::new(algorithm), IN_FLIGHT, budget);
    match body {
        BlobBody::Stream(mut stream) => {
            while let Some(bytes) = stream.try_next().await? {
                lane.push(bytes.len(), move |hash| hash.update(&bytes)).await?;
            }
        }
        BlobBody::File { file, range } => {
            let read = lane.call(move |hash| {
                let mut buffer = vec![0; READ];
                let mut at = range.start;
                while at < range.end {
                    let len = usize::try_from(range.end - at).unwrap_or(READ).min(READ);
                    std::os::unix::fs::FileExt::read_exact_at(&*file, &mut buffer[..len], at)?;
                    hash.update(&buffer[..len]);
                    at += len as u64;
                }
                Ok::<_, std::io::Error>(())
            });
            read.await?.map_err(|error| StorageError::Unavailable(error.into()))?;
        }
    }
    Ok(lane.call(|hash| hash.clone().digest()).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_hash_goes_on_where_it_was() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut whole = Hash::new(algorithm);
            whole.update(b"hello, world");
            let mut part = Hash::new(algorithm);
            part.update(b"hello");
            let mut rest = Hash::restore(&part.save(), 5).unwrap();
            rest.update(b", world");
            assert_eq!(rest.algorithm(), algorithm);
            assert_eq!(rest.digest(), whole.digest());
        }
    }

    #[test]
    fn a_state_that_is_not_of_the_staged_bytes_is_refused() {
        let mut hash = Hash::new(Algorithm::Sha256);
        hash.update(b"hello");
        for (saved, offset) in [
            (hash.save(), 4),
            (b"sha256".to_vec(), 0),
            (b"md5:x".to_vec(), 0),
            (b"sha256:x".to_vec(), 0),
            (vec![0xff, b':'], 0),
        ] {
            assert!(matches!(Hash::restore(&saved, offset), Err(CatalogError::Corrupt(_))));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_saved_state_makes_it_panic(size in 0_usize..300, at: proptest::sample::Index, with: u8, noise: Vec<u8>) {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let mut hash = Hash::new(algorithm);
                hash.update(&vec![7; size]);
                let mut saved = hash.save();
                let at = at.index(saved.len());
                saved[at] = with;
                for saved in [&saved, &saved[..at], &noise] {
                    if let Ok(mut restored) = Hash::restore(saved, size as u64) {
                        restored.update(&[1; 200]);
                        let _digest = restored.digest();
                    }
                }
            }
        }
    }
}
