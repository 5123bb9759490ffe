//! Which blobs are known to be where: candidates for mounts.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use berth_oci::{Digest, RepoName};

/// Places that are kept for one blob: a mount is tried from few.
const PLACES: usize = 4;
/// Blobs that are kept: a process that walks through more forgets nothing that it knows and learns no more.
const BLOBS: usize = 200_000;

/// How long what was seen counts as still there: a registry that collects garbage may remove what no manifest names.
const FRESH: Duration = Duration::from_secs(600);

type Places = HashMap<Digest, Vec<(RepoName, Instant)>>;

/// Blobs by host and digest, and repositories that hold them, each with when it was seen there.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<String, Places>>);

impl Known {
    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Places>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the repository holds the blob.
    pub(super) fn learn(&self, host: &str, name: &RepoName, digest: &Digest, now: Instant) {
        let mut hosts = self.hosts();
        // Few hosts, so that the sum is cheap.
        let total: usize = hosts.values().map(HashMap::len).sum();
        let blobs = hosts.entry(host.to_owned()).or_default();
        if total >= BLOBS && !blobs.contains_key(digest) {
            return;
        }
        let places = blobs.entry(digest.clone()).or_default();
        if let Some((_, seen)) = places.iter_mut().find(|(place, _)| place == name) {
            *seen = now;
        } else if places.len() < PLACES {
            places.push((name.clone(), now));
        }
    }

    /// The repository turned out not to hold it.
    pub(super) fn forget(&self, host: &str, name: &RepoName, digest: &Digest) {
        if let Some(places) = self.hosts().get_mut(host).and_then(|blobs| blobs.get_mut(digest)) {
            places.retain(|(place, _)| place != name);
        }
    }

    /// The repository turned out not to hold all that it was thought to hold.
    pub(super) fn forget_all(&self, host: &str, name: &RepoName) {
        for places in self.hosts().get_mut(host).into_iter().flat_map(HashMap::values_mut) {
            places.retain(|(place, _)| place != name);
        }
    }

    /// Repositories of the host that hold it.
    pub(super) fn places(&self, host: &str, digest: &Digest) -> Vec<RepoName> {
        let hosts = self.hosts();
        let places = hosts.get(host).and_then(|blobs| blobs.get(digest));
        places.into_iter().flatten().map(|(place, _)| place.clone()).collect()
    }

    /// Whether the repository was seen to hold it not long ago.
    pub(super) fn is_fresh(&self, host: &str, name: &RepoName, digest: &Digest, now: Instant) -> bool {
        let hosts = self.hosts();
        let mut places = hosts.get(host).and_then(|blobs| blobs.get(digest)).into_iter().flatten();
        places.any(|(place, seen)| place == name && now.saturating_duration_since(*seen) < FRESH)
    }
}

#[cfg(test)]
mod tests {
    use berth_oci::Algorithm;

    use super::*;

    #[test]
    fn what_was_found_is_known_at_its_host_until_it_is_not_there() {
        let (known, now) = (Known::default(), Instant::now());
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let name = |n: usize| format!("app{n}").parse::<RepoName>().unwrap();
        for n in 0..9 {
            known.learn("h", &name(n), &digest, now);
            known.learn("h", &name(n), &digest, now);
        }
        assert_eq!(known.places("h", &digest), (0..PLACES).map(name).collect::<Vec<_>>());
        assert_eq!(known.places("other", &digest), []);
        known.forget("h", &name(0), &digest);
        assert_eq!(known.places("h", &digest).len(), PLACES - 1);
        assert!(known.is_fresh("h", &name(1), &digest, now + FRESH / 2));
        assert!(!known.is_fresh("h", &name(1), &digest, now + FRESH));
        assert!(!known.is_fresh("h", &name(0), &digest, now));
        known.forget_all("h", &name(1));
        assert_eq!(known.places("h", &digest), [name(2), name(3)]);
    }
}
