//! Regular expressions of people: bounded, and with a reason of one line for what is none.

use std::fmt;

use regex_automata::meta::Regex;

/// Most bytes that a regular expression may compile to.
const MAX_BYTES: usize = 1024 * 1024;

/// A regular expression that fits any part of a text.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    compiled: Regex,
}

impl Expression {
    /// Reads one.
    ///
    /// # Errors
    /// Why it is none, or that it compiles to too much.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let bounds = Regex::config().nfa_size_limit(Some(MAX_BYTES));
        match Regex::builder().configure(bounds).build(text) {
            Ok(compiled) => Ok(Self { text: text.to_owned(), compiled }),
            Err(error) => {
                let told = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
                // The library draws the place over several lines; its last line is the reason.
                Err(told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
            }
        }
    }

    /// Whether a part of the text fits.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}
