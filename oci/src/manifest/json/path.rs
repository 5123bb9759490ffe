//! The path of a value, as errors show it.

use std::{borrow::Cow, fmt::Write as _};

/// One step into an object or an array.
pub(super) enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

/// `layers[3].digest`; "the manifest" for no steps.
pub(super) fn render(steps: &[Step<'_>]) -> String {
    let mut out = String::new();
    for step in steps {
        match step {
            Step::Index(index) => out.push_str(&format!("[{index}]")),
            Step::Key(key) => push_key(&mut out, key),
        }
    }
    if out.is_empty() { "the manifest".to_owned() } else { out }
}

/// Longest key that a path shows, in characters: paths go into answers and logs.
const SHOWN: usize = 64;

fn push_key(out: &mut String, key: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.len() <= SHOWN && !key.is_empty() && key.chars().all(plain) {
        out.push_str(if out.is_empty() { "" } else { "." });
        out.push_str(key);
        return;
    }
    let shown: String = key.chars().take(SHOWN).collect();
    let more = if shown.len() < key.len() { "…" } else { "" };
    // Debug's form: quoted, control characters escaped. Writing to a String does not fail.
    write!(out, "[{shown:?}{more}]").unwrap_or_default();
}
