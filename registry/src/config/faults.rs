//! What is wrong with a configuration: all of it at once.

use std::fmt;

/// Everything that is wrong with a configuration. Prints as the file, the count, and one line each:
///
/// ```text
/// config/registry.toml: 2 problems
///   server.drain: "soon" is not a time like "30s" or "24h"
///   storage.bucket: required when storage.kind = "s3"
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    origin: String,
    list: Vec<(String, String)>,
}

impl Faults {
    pub(super) fn new(origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), list: Vec::new() }
    }

    /// `key` is a dotted key, or the name of a variable.
    pub(super) fn add(&mut self, key: impl Into<String>, sentence: impl Into<String>) {
        self.list.push((key.into(), sentence.into()));
    }

    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.list.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.list.len() == 1 { "problem" } else { "problems" };
        write!(f, "{}: {} {noun}", self.origin, self.list.len())?;
        self.list.iter().try_for_each(|(key, sentence)| write!(f, "\n  {key}: {sentence}"))
    }
}

impl std::error::Error for Faults {}
