//! Servers that several tests of one process use together.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Result;

/// A place for one server: made when first asked for, stopped when its last user drops it, made anew after that. A
/// plain `static` would never be dropped, and its folder would stay.
#[derive(Debug)]
pub struct Shared<T> {
    slot: Mutex<Weak<T>>,
}

impl<T> Shared<T> {
    /// An empty place.
    pub const fn new() -> Self {
        Self { slot: Mutex::new(Weak::new()) }
    }

    /// What is there, or what `make` makes. Others who ask meanwhile wait for it.
    pub fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = slot.upgrade() {
            return Ok(present);
        }
        let made = Arc::new(make()?);
        *slot = Arc::downgrade(&made);
        Ok(made)
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self::new()
    }
}
