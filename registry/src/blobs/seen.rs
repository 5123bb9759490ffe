//! Objects of a bucket that were seen a moment ago, so that it is not asked about them at each HEAD: a way to the bucket
//! and back costs more than all the rest of the answer, and the layers that everybody shares are asked for all the time.

use std::time::Duration;

use quick_cache::sync::Cache;

use crate::{
    catalog::{BlobRow, ObjectKey},
    clock::Timestamp,
};

/// For so long an object counts as seen. One that somebody takes out of the bucket behind the registry's back is found
/// lost by a HEAD so much later at the latest, and by a GET at once.
const FRESH: Duration = Duration::from_secs(30);
/// Objects that are remembered; those not asked for lately are forgotten first.
const REMEMBERED: usize = 16_384;

/// What was seen. An object's key is never used again, so that a deletion needs no forgetting: nothing asks for one
/// that no row names.
#[derive(Debug)]
pub(super) struct Seen(Cache<ObjectKey, (u64, Timestamp)>);

impl Default for Seen {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Seen {
    /// Notes that the object of `blob` is there, with all its bytes.
    pub(super) fn note(&self, blob: &BlobRow, now: Timestamp) {
        self.0.insert(blob.key.clone(), (blob.size, now));
    }

    /// Whether that was noted a moment ago.
    pub(super) fn has(&self, blob: &BlobRow, now: Timestamp) -> bool {
        let is_fresh = |at: Timestamp| at <= now && now < at + FRESH;
        self.0.get(&blob.key).is_some_and(|(size, at)| size == blob.size && is_fresh(at))
    }

    /// It is not there after all.
    pub(super) fn forget(&self, key: &ObjectKey) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use berth_oci::{Algorithm, Digest};

    use super::*;

    #[test]
    fn an_object_counts_as_seen_for_a_moment_with_its_size_and_until_it_is_missed() {
        let key = ObjectKey("blobs/x".to_owned());
        let blob = BlobRow { digest: Digest::of(Algorithm::Sha256, b"x"), size: 1, key };
        let (seen, now) = (Seen::default(), Timestamp(1_000_000));
        assert!(!seen.has(&blob, now));
        seen.note(&blob, now);
        assert!(seen.has(&blob, now + FRESH / 2));
        assert!(!seen.has(&blob, now + FRESH));
        assert!(!seen.has(&blob, now - FRESH), "a clock that was set back");
        assert!(!seen.has(&BlobRow { size: 2, ..blob.clone() }, now));
        seen.forget(&blob.key);
        assert!(!seen.has(&blob, now));
    }
}
