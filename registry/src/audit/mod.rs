//! Who did what: pushes, moved tags, deletes, logins that failed, what was denied, what administrators changed.
//!
//! Whoever records something goes on at once. A task gathers what comes within a moment and writes it in one
//! statement. So the log is behind what it tells of by that moment: a kill loses it, a power failure on SQLite
//! what came since the last push besides. What is written down is never changed, and dropped only by its age.

mod writer;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
};

use crate::{
    auth::Principal,
    catalog::{AuditRow, Catalog},
    clock::Clock,
};

/// Entries that may wait. Of more, those that only tell of refusals are counted and not kept: a flood of bad
/// requests neither fills the memory nor slows the good ones.
const QUEUE: usize = 8192;
/// Characters of a text at most.
const LONGEST: usize = 512;

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A manifest was stored, under a tag or by its digest.
    Push,
    /// A tag that was there points at another manifest now.
    Overwrite,
    /// A manifest, tag or blob is gone.
    Delete,
    /// A blob was linked from another repository.
    Mount,
    /// A manifest, tag, blob or list was to be read; only refusals are recorded.
    Pull,
    /// Somebody said who they are; only failures are recorded.
    Login,
    /// Something was administered.
    Admin,
    /// Collection ran.
    Collect,
}

impl Act {
    /// All there are.
    pub const ALL: [Self; 8] = [
        Self::Push,
        Self::Overwrite,
        Self::Delete,
        Self::Mount,
        Self::Pull,
        Self::Login,
        Self::Admin,
        Self::Collect,
    ];

    /// As the log says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
            Self::Mount => "mount",
            Self::Pull => "pull",
            Self::Login => "login",
            Self::Admin => "admin",
            Self::Collect => "collect",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    #[default]
    Done,
    /// The policy said no.
    Denied,
    /// Something else was wrong.
    Failed,
}

impl Outcome {
    /// As the log says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// Where a request came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The request's id in the log.
    pub request_id: String,
}

/// Something that happened. Texts that say nothing are left empty; what a client sent is escaped and cut when it is
/// recorded, so that no reader of the log is led astray by it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who: [`Principal::key`].
    pub who: String,
    /// What.
    pub act: Act,
    /// With which repository.
    pub repository: String,
    /// With which tag, digest or endpoint.
    pub reference: String,
    /// The digest it came to.
    pub digest: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Anything more.
    pub detail: String,
    /// Where from.
    pub scene: Scene,
}

impl Entry {
    /// Something that was done.
    #[must_use]
    pub fn new(who: &Principal, act: Act, scene: Scene) -> Self {
        Self {
            who: who.key(),
            act,
            repository: String::new(),
            reference: String::new(),
            digest: String::new(),
            outcome: Outcome::Done,
            detail: String::new(),
            scene,
        }
    }

    fn into_row(self, clock: &dyn Clock) -> AuditRow {
        AuditRow {
            time: clock.now(),
            who: printable(self.who),
            address: self.scene.address.map(|address| address.to_canonical().to_string()).unwrap_or_default(),
            verb: self.act.as_str().to_owned(),
            repository: printable(self.repository),
            reference: printable(self.reference),
            digest: printable(self.digest),
            outcome: self.outcome.as_str().to_owned(),
            request_id: printable(self.scene.request_id),
            detail: printable(self.detail),
        }
    }
}

/// Without characters that end a line, move a cursor or turn a text around (R34), and no longer than it may be.
fn printable(text: String) -> String {
    let plain = |c: char| {
        !c.is_control()
            && !('\u{200b}'..='\u{200f}').contains(&c)
            && !('\u{2028}'..='\u{202e}').contains(&c)
            && !('\u{2060}'..='\u{2069}').contains(&c)
            && c != '\u{feff}'
    };
    if text.len() <= LONGEST && text.chars().all(plain) {
        return text;
    }
    let mut shown = String::with_capacity(LONGEST);
    for c in text.chars() {
        if shown.len() >= LONGEST {
            shown.push_str("...");
            break;
        }
        if plain(c) { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    shown
}

/// Where entries are recorded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    // Empty once closed, or where nothing is recorded.
    queue: Mutex<Option<mpsc::Sender<AuditRow>>>,
    task: Mutex<Option<JoinHandle<()>>>,
    missed: Arc<AtomicU64>,
}

impl Log {
    /// Starts to write what is recorded into the catalog.
    #[must_use]
    pub fn start(catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let missed = Arc::default();
        let task = tokio::spawn(writer::run(waiting, catalog, clock.clone(), Arc::clone(&missed)));
        let inner = Inner { clock, queue: Mutex::new(Some(queue)), task: Mutex::new(Some(task)), missed };
        Self { inner: Arc::new(inner) }
    }

    /// One that keeps nothing.
    #[must_use]
    pub fn off(clock: Arc<dyn Clock>) -> Self {
        let inner = Inner { clock, queue: Mutex::default(), task: Mutex::default(), missed: Arc::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Records what was done. It waits for room where many entries wait already: none is left out.
    pub async fn record(&self, entry: Entry) {
        if let Some((queue, row)) = self.offer(entry)
            && queue.send(row).await.is_err()
        {
            // Closed meanwhile, after which nothing is done any more.
            tracing::debug!("The audit log is closed");
        }
    }

    /// Records a refusal. Where many entries wait already it is only counted.
    pub fn refused(&self, entry: Entry) {
        if self.offer(entry).is_some() {
            self.inner.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives an entry back for which there is no room.
    fn offer(&self, entry: Entry) -> Option<(mpsc::Sender<AuditRow>, AuditRow)> {
        let queue = lock(&self.inner.queue).clone()?;
        match queue.try_send(entry.into_row(&*self.inner.clock)) {
            Ok(()) | Err(TrySendError::Closed(_)) => None,
            Err(TrySendError::Full(row)) => Some((queue, row)),
        }
    }

    /// Writes what waits. What is recorded later is not kept.
    pub async fn close(&self) {
        drop(lock(&self.inner.queue).take());
        let task = lock(&self.inner.task).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!("The audit log's writer ended badly: {error}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Only whole values are put in and taken out.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
