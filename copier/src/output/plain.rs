//! A copy told in Skopeo's lines, for pipes and files.

use std::{
    collections::HashSet,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use berth_copier::{Event, Progress};
use berth_oci::Digest;

use super::{Level, Log};

/// Tells every step.
pub(super) struct Lines {
    log: Arc<Log>,
    told: Mutex<HashSet<Digest>>,
}

impl Lines {
    pub(super) fn new(log: Arc<Log>) -> Self {
        Self { log, told: Mutex::default() }
    }

    fn say(&self, text: &str) {
        // Nobody listens any more; the copy goes on, as it would for a bar that nobody sees.
        let _unheard = writeln!(io::stdout().lock(), "{text}");
    }

    fn blob(&self, digest: &Digest, kind: &str) {
        let new = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone());
        if new {
            self.say(&format!("Copying {kind} {digest}"));
        }
    }
}

impl Progress for Lines {
    fn event(&self, event: Event) {
        match event {
            Event::Step(text) => self.say(&text),
            Event::BlobBegun { blob, config } => {
                self.blob(&blob.digest, if config { "config" } else { "blob" });
            }
            Event::BlobDone { digest, .. } => self.blob(&digest, "blob"),
            Event::Warning(text) => self.log.write(Level::Warning, &text),
            _ => {}
        }
    }
}

/// Tells warnings alone.
pub(super) struct Quiet {
    log: Arc<Log>,
}

impl Quiet {
    pub(super) const fn new(log: Arc<Log>) -> Self {
        Self { log }
    }
}

impl Progress for Quiet {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.log.write(Level::Warning, &text);
        }
    }
}
