//! Who writes to which upload session. In memory only: one process owns the database, so when it
//! dies every claim is free, which is just what should happen.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    catalog::{UploadId, WriterId},
    clock::Timestamp,
};

#[derive(Debug)]
struct Held {
    writer: WriterId,
    until: Timestamp,
    /// Its progress is being written down: nobody takes it over in the middle of that.
    saving: bool,
}

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<HashMap<UploadId, Held>>);

impl Claims {
    fn map(&self) -> MutexGuard<'_, HashMap<UploadId, Held>> {
        // No holder of the lock leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the claim is now the writer's, until `until`.
    pub(super) fn take(&self, id: UploadId, writer: WriterId, now: Timestamp, until: Timestamp) -> bool {
        match self.map().entry(id) {
            Entry::Vacant(free) => {
                free.insert(Held { writer, until, saving: false });
                true
            }
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                let free = held.writer == writer || (held.until <= now && !held.saving);
                if free {
                    *held = Held { writer, until, saving: held.saving };
                }
                free
            }
        }
    }

    /// Prolongs the writer's claim; `false` when it has none.
    pub(super) fn renew(&self, id: UploadId, writer: WriterId, until: Timestamp) -> bool {
        self.map().get_mut(&id).filter(|held| held.writer == writer).map(|held| held.until = until).is_some()
    }

    /// Keeps the writer's claim from being taken over until [`Claims::saved`] or
    /// [`Claims::not_saved`]; `false` when it has none.
    pub(super) fn begin_saving(&self, id: UploadId, writer: WriterId) -> bool {
        self.map().get_mut(&id).filter(|held| held.writer == writer).map(|held| held.saving = true).is_some()
    }

    /// Saving failed; the claim runs on.
    pub(super) fn not_saved(&self, id: UploadId, writer: WriterId) {
        if let Some(held) = self.map().get_mut(&id).filter(|held| held.writer == writer) {
            held.saving = false;
        }
    }

    /// Gives the writer's claim back.
    pub(super) fn release(&self, id: UploadId, writer: WriterId) {
        if let Entry::Occupied(held) = self.map().entry(id)
            && held.get().writer == writer
        {
            held.remove();
        }
    }

    /// Releases the writer's claim when dropped, unless [`Unkept::keep`] was called: for a caller who
    /// may go away before it has heard that it holds it.
    pub(super) fn unkept(&self, id: UploadId, writer: WriterId) -> Unkept<'_> {
        Unkept { claims: Some(self), id, writer }
    }

    /// The session is gone, whoever had it.
    pub(super) fn forget(&self, id: UploadId) {
        self.map().remove(&id);
    }

    /// Whether somebody is writing to the session.
    pub(super) fn is_held(&self, id: UploadId, now: Timestamp) -> bool {
        self.map().get(&id).is_some_and(|held| held.saving || held.until > now)
    }

    /// How many there are, run out or not.
    pub(super) fn count(&self) -> usize {
        self.map().len()
    }
}

/// A claim that nobody knows of yet.
pub(super) struct Unkept<'a> {
    claims: Option<&'a Claims>,
    id: UploadId,
    writer: WriterId,
}

impl Unkept<'_> {
    /// Leaves the claim with its writer.
    pub(super) fn keep(mut self) {
        self.claims = None;
    }
}

impl Drop for Unkept<'_> {
    fn drop(&mut self) {
        if let Some(claims) = self.claims {
            claims.release(self.id, self.writer);
        }
    }
}
