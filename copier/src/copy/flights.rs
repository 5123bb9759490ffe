//! A blob goes to a destination once, however many copies of this process want it there.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use berth_oci::{Descriptor, Digest};
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

use super::lock::Lock;
use crate::Result;

/// How long what landed is taken to be there without asking: shorter than any registry waits before it collects a blob
/// that no manifest names.
const FRESH: Duration = Duration::from_secs(300);
/// Blobs that are remembered at most.
const REMEMBERED: usize = 50_000;

/// Which blob, made how, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// `host/repository` or a path.
    pub(super) destination: Arc<str>,
    /// Its digest at the source.
    pub(super) digest: Digest,
    /// What is made of it on the way; empty where it goes as it is.
    pub(super) recipe: String,
}

/// A manifest at a destination.
type Place = (Arc<str>, Digest);
/// Held by whoever writes it.
type Turn = Arc<Mutex<()>>;

/// What landed: the blob as it is at the destination.
#[derive(Clone, Debug)]
struct Landed {
    blob: Descriptor,
    at: Instant,
}

/// The blobs that are on their way, and those that landed a short while ago.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    cells: Lock<HashMap<Key, Arc<OnceCell<Landed>>>>,
    turns: Lock<HashMap<Place, Turn>>,
}

impl Flights {
    /// Runs `send` unless somebody else does or just did: then this waits and answers what landed, with `None` for the
    /// outcome. Where the other one fails or is cancelled, the next in line sends.
    ///
    /// # Errors
    /// Those of this caller's own `send` only.
    pub(super) async fn once<T>(
        &self,
        key: Key,
        send: impl AsyncFnOnce() -> Result<(Descriptor, T)>,
    ) -> Result<(Descriptor, Option<T>)> {
        let cell = self.cell(key, Instant::now());
        let mut outcome = None;
        let landed = cell
            .get_or_try_init(async || {
                let (blob, how) = send().await?;
                outcome = Some(how);
                Ok::<_, crate::Error>(Landed { blob, at: Instant::now() })
            })
            .await?;
        Ok((landed.blob.clone(), outcome))
    }

    fn cell(&self, key: Key, now: Instant) -> Arc<OnceCell<Landed>> {
        let stale = |cell: &Arc<OnceCell<Landed>>| {
            cell.get().is_some_and(|landed| now.saturating_duration_since(landed.at) > FRESH)
        };
        let mut cells = self.cells.lock();
        if cells.len() >= REMEMBERED {
            cells.retain(|_, cell| cell.get().is_none() && Arc::strong_count(cell) > 1);
        }
        let cell = cells.entry(key).or_default();
        if stale(cell) {
            *cell = Arc::default();
        }
        Arc::clone(cell)
    }

    /// Waits until nobody else of this process writes this manifest to this destination, under whatever tag: Distribution
    /// reads half of what another request is just writing, and refuses both.
    pub(super) async fn turn(&self, destination: &Arc<str>, manifest: &Digest) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock();
            if turns.len() >= REMEMBERED {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            }
            Arc::clone(turns.entry((destination.clone(), manifest.clone())).or_default())
        };
        turn.lock_owned().await
    }

    /// Forgets what landed at a destination that turned out not to have it.
    pub(super) fn forget(&self, destination: &str) {
        self.cells.lock().retain(|key, cell| &*key.destination != destination || cell.get().is_none());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use berth_oci::{Algorithm, MediaType};
    use tokio::sync::Notify;

    use super::*;
    use crate::Error;

    fn key() -> Key {
        Key {
            destination: "host/a".into(),
            digest: Digest::of(Algorithm::Sha256, b"x"),
            recipe: String::new(),
        }
    }

    fn blob() -> Descriptor {
        Descriptor::new(MediaType::new("x/y"), key().digest, 1)
    }

    #[tokio::test]
    async fn one_manifest_is_written_by_one_at_a_time_and_others_beside_it() {
        let flights = Flights::default();
        let Key { destination, digest, .. } = key();
        let first = flights.turn(&destination, &digest).await;
        let second = flights.turn(&destination, &digest);
        assert!(futures_util::poll!(std::pin::pin!(second)).is_pending());
        let _other = flights.turn(&"host/b".into(), &digest).await;
        drop(first);
        let _second = flights.turn(&destination, &digest).await;
    }

    #[tokio::test]
    async fn of_many_at_once_one_sends_and_the_others_wait() {
        let flights = Flights::default();
        let sent = AtomicUsize::new(0);
        let gate = Notify::new();
        let send = || {
            flights.once(key(), async || {
                sent.fetch_add(1, Ordering::Relaxed);
                gate.notified().await;
                Ok((blob(), ()))
            })
        };
        let opener = async {
            tokio::task::yield_now().await;
            gate.notify_one();
        };
        let (a, b, c, ()) = tokio::join!(send(), send(), send(), opener);
        let outcomes = [a.unwrap().1, b.unwrap().1, c.unwrap().1];
        assert_eq!(sent.load(Ordering::Relaxed), 1);
        assert_eq!(outcomes.iter().flatten().count(), 1);
    }

    #[tokio::test]
    async fn where_the_first_fails_the_next_sends() {
        let flights = Flights::default();
        let first = flights.once(key(), async || {
            tokio::task::yield_now().await;
            Err::<(Descriptor, ()), _>(Error::Timeout)
        });
        let second = flights.once(key(), async || Ok((blob(), ())));
        let (first, second) = tokio::join!(first, second);
        assert!(matches!(first, Err(Error::Timeout)));
        assert!(second.unwrap().1.is_some());
    }

    #[tokio::test]
    async fn where_the_first_is_dropped_the_next_sends() {
        let flights = Flights::default();
        let mut first = Box::pin(flights.once(key(), async || {
            std::future::pending::<()>().await;
            Ok((blob(), ()))
        }));
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut second = Box::pin(flights.once(key(), async || Ok((blob(), ()))));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(second.await.unwrap().1.is_some());
    }

    #[tokio::test]
    async fn what_landed_long_ago_is_asked_for_again() {
        let flights = Flights::default();
        flights.once(key(), async || Ok((blob(), ()))).await.unwrap();
        assert!(flights.cell(key(), Instant::now()).get().is_some());
        assert!(flights.cell(key(), Instant::now() + FRESH + Duration::from_secs(1)).get().is_none());
    }
}
