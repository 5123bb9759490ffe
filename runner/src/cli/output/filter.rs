//! `--filter key=value`, given several times.

use std::collections::BTreeMap;

use crate::error::{Result, RunnerError};

/// Filters by key. Several values of one key: any matches; several keys: all have to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Takes `key=value` texts of the keys in `known` (in lower case, as podman has them).
    ///
    /// # Errors
    /// [`RunnerError::Usage`] for another key, or without a value.
    pub(crate) fn parse(texts: &[String], known: &[&str]) -> Result<Self> {
        let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                RunnerError::Usage(format!(
                    "--filter {text:?}: write KEY=VALUE, with one of {}",
                    known.join(", ")
                ))
            })?;
            // Of `label!=NAME` the key is `label!`.
            let key = key.trim().to_ascii_lowercase();
            if !known.contains(&key.as_str()) {
                return Err(RunnerError::Usage(format!(
                    "--filter {text:?}: there is no filter {key:?}; known are {}",
                    known.join(", ")
                )));
            }
            filters.entry(key).or_default().push(value.to_owned());
        }
        Ok(Self(filters))
    }

    /// The values of a key; empty where it was not given.
    pub(crate) fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether any of a key's values satisfies `matches`, or the key was not given.
    pub(crate) fn any(&self, key: &str, matches: impl FnMut(&str) -> bool) -> bool {
        let values = self.values(key);
        values.is_empty() || values.iter().map(String::as_str).any(matches)
    }

    /// A key that is true or false; `None` where it was not given.
    ///
    /// # Errors
    /// [`RunnerError::Usage`] for another value.
    pub(crate) fn truth(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.values(key).last() else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Ok(Some(true)),
            "false" | "0" | "f" => Ok(Some(false)),
            _ => Err(RunnerError::Usage(format!("--filter {key}={value}: it is true or false"))),
        }
    }

    /// Whether labels satisfy every `label=NAME[=VALUE]`, and none of `label!=NAME[=VALUE]`.
    pub(crate) fn labels<'a>(&self, mut of: impl FnMut(&str) -> Option<&'a str>) -> bool {
        let mut matches = |wanted: &String| match wanted.split_once('=') {
            Some((name, value)) => of(name) == Some(value),
            None => of(wanted).is_some(),
        };
        self.values("label").iter().all(&mut matches) && !self.values("label!").iter().any(&mut matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Result<Filters> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        Filters::parse(&texts, &["label", "label!", "dangling", "reference"])
    }

    #[test]
    fn labels_have_to_match_all() {
        let of = |name: &str| match name {
            "a" => Some("1"),
            "b" => Some(""),
            _ => None,
        };
        assert!(filters(&["label=a=1", "label=b"]).unwrap().labels(of));
        assert!(!filters(&["label=a=1", "label=c"]).unwrap().labels(of));
        assert!(!filters(&["label!=a"]).unwrap().labels(of));
        assert!(filters(&["label!=a=2"]).unwrap().labels(of));
        assert!(filters(&[]).unwrap().labels(of));
    }

    #[test]
    fn of_several_values_any_matches() {
        let two = filters(&["reference=x", "reference=y"]).unwrap();
        assert!(two.any("reference", |value| value == "y"));
        assert!(!two.any("reference", |value| value == "z"));
        assert!(two.any("label", |_| false));
    }

    #[test]
    fn what_is_no_filter_is_named() {
        assert!(filters(&["size=1"]).unwrap_err().to_string().contains("known are label, label!, dangling"));
        assert!(filters(&["label"]).unwrap_err().to_string().contains("write KEY=VALUE"));
        assert_eq!(filters(&["dangling=yes"]).unwrap().truth("dangling").unwrap_err().exit_code(), 2);
        assert_eq!(filters(&["dangling=true"]).unwrap().truth("dangling").unwrap(), Some(true));
    }
}
