//! A copy told in Skopeo's lines, for pipes and files.

use std::{
    io::{self, Write},
    sync::Arc,
};

use berth_copier::{Event, Progress};

use super::{Level, Log};

/// Tells every step.
pub(super) struct Lines {
    log: Arc<Log>,
}

impl Lines {
    pub(super) const fn new(log: Arc<Log>) -> Self {
        Self { log }
    }
}

impl Progress for Lines {
    fn event(&self, event: Event) {
        match event {
            Event::Step(text) => {
                // Where nobody listens any more the copy goes on, as it would with a bar that nobody sees.
                let _unheard = writeln!(io::stdout().lock(), "{text}");
            }
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
