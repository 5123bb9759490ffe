//! Which blobs are in an archive that is being written, so that none is in it twice.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use berth_oci::{Descriptor, Digest};

use super::output::TarOutput;
use crate::{Content, Result, Reuse, content::Blob};

/// Digests and lengths of what is there, or is on its way.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<BTreeMap<Digest, u64>>);

impl Claims {
    fn map(&self) -> MutexGuard<'_, BTreeMap<Digest, u64>> {
        // A panic elsewhere leaves a map that is as good as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a digest for the caller to write; false if somebody has it.
    pub(super) fn claim(&self, digest: &Digest, size: u64) -> bool {
        self.map().insert(digest.clone(), size).is_none()
    }

    /// Whether it is there.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.map().contains_key(digest)
    }

    /// Whether it need not be written.
    pub(super) fn reuse(&self, blob: &Descriptor) -> Reuse {
        let there = self.map().get(&blob.digest) == Some(&blob.size);
        if there { Reuse::Present } else { Reuse::Absent(None) }
    }

    /// Writes a blob, unless it is there.
    pub(super) async fn put(
        &self,
        output: &TarOutput,
        blob: &Blob,
        content: &dyn Content,
        name: impl Fn(&Digest) -> String + Send + Sync,
    ) -> Result<Descriptor> {
        let claimed = Mutex::new(None);
        let taken = |digest: &Digest, size: u64| {
            let mine = self.claim(digest, size);
            if mine {
                *claimed.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest.clone());
            }
            !mine
        };
        let stored = output.blob(blob, content, name, taken).await;
        if stored.is_err()
            && let Some(digest) = claimed.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            self.map().remove(&digest);
        }
        stored
    }
}
