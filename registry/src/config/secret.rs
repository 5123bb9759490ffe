//! Values that must not be seen.

use std::{fmt, path::Path};

use super::faults::Faults;

/// A password, a key, or an address that holds one. Neither `Debug` nor `config print` shows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for whoever has to send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The secret that is given as it is or in a file (whose last line break does not count).
pub(super) fn either(
    key: &str,
    value: Option<&Secret>,
    file: Option<&Path>,
    faults: &mut Faults,
) -> Option<Secret> {
    match (value, file) {
        (None, None) => None,
        (Some(secret), None) => Some(secret.clone()),
        (Some(_), Some(_)) => {
            faults.add(format!("{key}_file"), format!("given beside {key}; only one of them can count"));
            None
        }
        (None, Some(file)) => match std::fs::read_to_string(file) {
            Ok(text) if !text.trim().is_empty() => {
                Some(Secret(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            Ok(_) => {
                faults.add(format!("{key}_file"), format!("{} is empty", file.display()));
                None
            }
            Err(error) => {
                faults.add(format!("{key}_file"), format!("{}: {error}", file.display()));
                None
            }
        },
    }
}
