//! All faults of a file, told at once.

use std::{fmt, fmt::Write as _, path::Path};

use crate::{Error, Result};

/// The most faults that are written out.
const TOLD: usize = 20;

/// What is wrong with a file, each with its key.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    /// Notes one: `key: rule`.
    pub(super) fn add(&mut self, key: impl fmt::Display, rule: impl fmt::Display) {
        self.0.push(format!("{key}: {rule}"));
    }

    /// An error with all of them, if there are any.
    pub(super) fn check(self, path: &Path) -> Result<()> {
        let fault = match self.0.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            many => {
                let mut text = format!("{} problems", many.len());
                for fault in many.iter().take(TOLD) {
                    let _infallible = write!(text, "\n  {fault}");
                }
                if many.len() > TOLD {
                    let _infallible = write!(text, "\n  and {} more", many.len() - TOLD);
                }
                text
            }
        };
        Err(Error::Configuration { path: path.to_owned(), fault })
    }
}
