//! Which blobs are known to be where: candidates for mounts.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use berth_oci::{Digest, RepoName};

/// Places that are kept for one blob: a mount is tried from few.
const PLACES: usize = 4;
/// Blobs that are kept: a process that walks through more forgets nothing that it knows and learns no more.
const BLOBS: usize = 200_000;

/// Blobs by host and digest, and repositories that hold them, the latest found last.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<String, HashMap<Digest, Vec<RepoName>>>>);

impl Known {
    /// Notes that the repository holds the blob.
    pub(super) fn learn(&self, host: &str, name: &RepoName, digest: &Digest) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Few hosts, so that the sum is cheap.
        let total: usize = hosts.values().map(HashMap::len).sum();
        let blobs = hosts.entry(host.to_owned()).or_default();
        if total >= BLOBS && !blobs.contains_key(digest) {
            return;
        }
        let places = blobs.entry(digest.clone()).or_default();
        if !places.contains(name) && places.len() < PLACES {
            places.push(name.clone());
        }
    }

    /// The repository turned out not to hold it.
    pub(super) fn forget(&self, host: &str, name: &RepoName, digest: &Digest) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = hosts.get_mut(host).and_then(|blobs| blobs.get_mut(digest)) {
            places.retain(|place| place != name);
        }
    }

    /// Repositories of the host that hold it.
    pub(super) fn places(&self, host: &str, digest: &Digest) -> Vec<RepoName> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.get(host).and_then(|blobs| blobs.get(digest)).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use berth_oci::Algorithm;

    use super::*;

    #[test]
    fn what_was_found_is_known_at_its_host_until_it_is_not_there() {
        let known = Known::default();
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let name = |n: usize| format!("app{n}").parse::<RepoName>().unwrap();
        for n in 0..9 {
            known.learn("h", &name(n), &digest);
            known.learn("h", &name(n), &digest);
        }
        assert_eq!(known.places("h", &digest), (0..PLACES).map(name).collect::<Vec<_>>());
        assert_eq!(known.places("other", &digest), []);
        known.forget("h", &name(0), &digest);
        assert_eq!(known.places("h", &digest).len(), PLACES - 1);
    }
}
