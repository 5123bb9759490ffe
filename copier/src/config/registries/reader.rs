//! Taking values out of TOML without stopping at the first fault.

use std::path::Path;

use toml::{Table, Value};

use super::super::faults::Faults;

/// The most tables and lines of one kind.
const MAX_ENTRIES: usize = 10_000;

/// Notes faults and warnings, and goes on.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) faults: Faults,
    pub(super) warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, faults: Faults::default(), warnings: Vec::new() }
    }

    pub(super) fn unknown(&mut self, before: &str, of: &Table, known: &[&str]) {
        for key in of.keys().filter(|key| !known.contains(&key.as_str())) {
            let text = format!(
                "{}: {before}{key:?} is no setting that is known, and is passed over",
                self.path.display()
            );
            self.warnings.push(text);
        }
    }

    pub(super) fn string(&mut self, before: &str, of: &Table, key: &str) -> Option<String> {
        match of.get(key)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.faults.add(format!("{before}{key}"), "must be a text");
                None
            }
        }
    }

    pub(super) fn flag(&mut self, before: &str, of: &Table, key: &str) -> bool {
        match of.get(key) {
            None => false,
            Some(Value::Boolean(flag)) => *flag,
            Some(_) => {
                self.faults.add(format!("{before}{key}"), "must be true or false");
                false
            }
        }
    }

    pub(super) fn strings(&mut self, of: &Table, key: &str) -> Option<Vec<String>> {
        let Value::Array(list) = of.get(key)? else {
            self.faults.add(key, "must be a list of texts");
            return None;
        };
        let mut texts = Vec::new();
        for (place, value) in list.iter().enumerate() {
            match value {
                Value::String(text) => texts.push(text.clone()),
                _ => self.faults.add(format!("{key}[{place}]"), "must be a text"),
            }
        }
        self.count(key, texts.len());
        Some(texts)
    }

    pub(super) fn tables<'t>(&mut self, before: &str, of: &'t Table, key: &str) -> Vec<(String, &'t Table)> {
        let list = match of.get(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.faults.add(format!("{before}{key}"), format!("must be written [[{before}{key}]]"));
                return Vec::new();
            }
        };
        self.count(key, list.len());
        let mut tables = Vec::new();
        for (place, value) in list.iter().enumerate() {
            let name = format!("{before}{key}[{place}]");
            match value {
                Value::Table(table) => tables.push((name, table)),
                _ => self.faults.add(name, "must be a table"),
            }
        }
        tables
    }

    pub(super) fn count(&mut self, key: &str, count: usize) {
        if count > MAX_ENTRIES {
            self.faults.add(key, format!("has {count} entries; {MAX_ENTRIES} are the most"));
        }
    }
}
