//! What the program says: results on standard output, everything else on standard error.

mod bars;
mod json;
mod log;
mod plain;

use std::{
    io::{self, IsTerminal, Write},
    sync::Arc,
};

use berth_copier::{Error, Progress, Result};
use clap::builder::StyledStr;
use serde::Serialize;

pub(crate) use log::{Level, Lines, Log};

/// Where a command's words go.
#[derive(Clone)]
pub(crate) struct Output {
    log: Arc<Log>,
}

impl Output {
    pub(crate) fn new(log: Arc<Log>) -> Self {
        Self { log }
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// If standard output does not take them.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(Error::file("standard output"))
    }

    /// Writes a line.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<()> {
        self.raw(format!("{}\n", text.as_ref()).as_bytes())
    }

    /// Writes JSON as Go's encoder would with an indent of four, and a line end.
    ///
    /// # Errors
    /// As [`Self::raw`], and for what is no JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        self.line(json::text(value)?)
    }

    /// Writes help or the version, in colours where a terminal shows them.
    ///
    /// # Errors
    /// As [`Self::raw`].
    pub(crate) fn told(&self, text: &StyledStr) -> Result<()> {
        let plain =
            !io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        self.raw(if plain { text.to_string() } else { text.ansi().to_string() }.as_bytes())
    }

    /// Writes to standard error what is no log line.
    pub(crate) fn aside(&self, text: &str) {
        let _unread = writeln!(io::stderr().lock(), "{text}");
    }

    /// Warns.
    pub(crate) fn warning(&self, text: &str) {
        self.log.write(Level::Warning, text);
    }

    /// Informs.
    pub(crate) fn info(&self, text: &str) {
        self.log.write(Level::Info, text);
    }

    /// A listener for copies: bars on a terminal, Skopeo's lines off it, and nothing but warnings for the quiet.
    pub(crate) fn progress(&self, quiet: bool) -> Box<dyn Progress> {
        let warnings = Arc::clone(&self.log);
        if quiet {
            Box::new(plain::Quiet::new(warnings))
        } else if io::stdout().is_terminal() {
            Box::new(bars::Bars::new(warnings))
        } else {
            Box::new(plain::Lines::new(warnings))
        }
    }
}
