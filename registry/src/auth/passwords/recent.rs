//! Who came in well a moment ago: Basic credentials come with every request, and one hash for each would be a
//! registry that does nothing else.
//!
//! What is remembered is a keyed hash of name and secret, with a key of this process alone, beside the stored
//! hash that it was checked against. It holds for as long as the account is as it was: at once after a change
//! that this process made, and otherwise every two seconds, the account is looked at again.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::hmac;
use quick_cache::sync::Cache;

use super::secret::random;
use crate::{auth::Principal, clock::Timestamp};

/// How old what is known of an account may be.
const FRESH: Duration = Duration::from_secs(2);
/// How long somebody who does not come is remembered.
const KEPT: Duration = Duration::from_mins(10);
/// How many are remembered.
const REMEMBERED: usize = 8192;

/// Name and secret, as they are remembered.
pub(super) type Mark = [u8; 32];

/// Somebody who came in well.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Who it is.
    pub(super) principal: Principal,
    /// What stood in the account that the secret was checked against.
    pub(super) proof: Arc<[u8]>,
    looked_at: Timestamp,
    generation: u64,
}

/// What is remembered of a mark.
pub(super) enum Memory {
    /// Who it is.
    Fresh(Principal),
    /// The secret was right for an account with this in it, which has to be looked at again.
    Stale(Arc<[u8]>),
    /// Nothing.
    None,
}

/// Those who came in well.
pub(super) struct Recent {
    key: hmac::Key,
    known: Cache<Mark, Known>,
    generation: AtomicU64,
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Recent {
    pub(super) fn new() -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()),
            known: Cache::new(REMEMBERED),
            generation: AtomicU64::new(0),
        }
    }

    /// The mark of a name and a secret.
    pub(super) fn mark(&self, name: &str, secret: &str) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        // Its length first, so that no other pair reads the same.
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name.as_bytes());
        context.update(secret.as_bytes());
        let mut mark = Mark::default();
        for (to, from) in mark.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        mark
    }

    /// To be asked for before an account is looked at, and handed in with what was seen.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whatever is known is looked at again: an account was changed.
    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn recall(&self, mark: &Mark, now: Timestamp) -> Memory {
        let Some(known) = self.known.get(mark) else { return Memory::None };
        let since = |age| known.looked_at <= now && now < known.looked_at + age;
        if !since(KEPT) {
            self.forget(mark);
            return Memory::None;
        }
        if since(FRESH) && known.generation == self.generation() {
            return Memory::Fresh(known.principal);
        }
        Memory::Stale(known.proof)
    }

    pub(super) fn remember(
        &self,
        mark: Mark,
        principal: &Principal,
        proof: Arc<[u8]>,
        now: Timestamp,
        generation: u64,
    ) {
        self.known.insert(mark, Known { principal: principal.clone(), proof, looked_at: now, generation });
    }

    pub(super) fn forget(&self, mark: &Mark) {
        self.known.remove(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_750_000_000_000_000);

    fn is_fresh(recent: &Recent, mark: &Mark, now: Timestamp) -> bool {
        matches!(recent.recall(mark, now), Memory::Fresh(_))
    }

    fn is_stale(recent: &Recent, mark: &Mark, now: Timestamp) -> bool {
        matches!(recent.recall(mark, now), Memory::Stale(_))
    }

    #[test]
    fn what_is_known_is_looked_at_again_after_a_moment_and_after_a_change() {
        let recent = Recent::new();
        let mark = recent.mark("alice", "secret");
        assert!(matches!(recent.recall(&mark, NOW), Memory::None));
        recent.remember(mark, &Principal::anonymous(), Arc::from([1]), NOW, recent.generation());
        assert!(is_fresh(&recent, &mark, NOW) && !is_fresh(&recent, &mark, NOW + FRESH));
        assert!(is_stale(&recent, &mark, NOW + FRESH));
        assert!(
            matches!(recent.recall(&mark, NOW - Duration::from_secs(1)), Memory::None),
            "the clock was set back"
        );
        recent.remember(mark, &Principal::anonymous(), Arc::from([1]), NOW, recent.generation());
        recent.changed();
        assert!(is_stale(&recent, &mark, NOW));
        let before = recent.generation();
        recent.changed();
        recent.remember(mark, &Principal::anonymous(), Arc::from([1]), NOW, before);
        assert!(is_stale(&recent, &mark, NOW), "it changed while it was looked at");
        assert!(matches!(recent.recall(&mark, NOW + KEPT), Memory::None));
    }

    #[test]
    fn marks_tell_names_and_secrets_apart_and_processes() {
        let recent = Recent::new();
        let marks = [
            recent.mark("a", "bc"),
            recent.mark("ab", "c"),
            recent.mark("abc", ""),
            Recent::new().mark("a", "bc"),
        ];
        for (at, mark) in marks.iter().enumerate() {
            assert!(!marks[..at].contains(mark));
        }
        assert_eq!(recent.mark("a", "bc"), marks[0]);
    }
}
