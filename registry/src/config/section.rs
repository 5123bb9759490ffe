//! A section, and the two who go through its keys: the one that reads and the one that prints.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    faults::Faults,
    value::{Shown, Value},
};

/// One `[section]`.
pub(super) trait Section {
    /// Its dotted name.
    fn name(&self) -> &'static str;
    /// What it is for.
    fn about(&self) -> &'static str;
    /// Shows each key to `keys`: its name, what it does (with an example where it may be unset), its value.
    fn keys(&mut self, keys: &mut dyn Keys);
    /// Rules that keys must keep together.
    fn check(&mut self, _faults: &mut Faults) {}
}

/// Goes through the keys of a section.
pub(super) trait Keys {
    /// The next key.
    fn key(&mut self, name: &'static str, about: &'static str, value: &mut dyn Value);
}

/// Variables of the environment that begin with `BERTH_`, without the prefix.
pub(super) type Environment = BTreeMap<String, String>;

/// Sets keys from a table and the environment, takes out what it used, and notes what is wrong.
pub(super) struct Reader<'r> {
    pub(super) section: &'static str,
    pub(super) table: &'r mut toml::Table,
    pub(super) environment: &'r mut Environment,
    pub(super) faults: &'r mut Faults,
}

impl Keys for Reader<'_> {
    fn key(&mut self, name: &'static str, _about: &'static str, value: &mut dyn Value) {
        if let Some(given) = self.table.remove(name)
            && let Err(sentence) = value.set(&given)
        {
            self.faults.add(format!("{}.{name}", self.section), sentence);
        }
        let variable = format!("{}__{name}", self.section.replace('.', "__")).to_uppercase();
        if let Some(given) = self.environment.remove(&variable)
            && let Err(sentence) = value.set_text(&given)
        {
            self.faults.add(format!("BERTH_{variable}"), sentence);
        }
    }
}

/// Prints keys as TOML that reads back, each with what it does.
#[derive(Default)]
pub(super) struct Printer(pub(super) String);

impl Printer {
    pub(super) fn section(&mut self, section: &mut dyn Section) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.comment(section.about());
        self.line(&format!("[{}]", section.name()));
        section.keys(self);
    }

    fn comment(&mut self, text: &str) {
        for line in text.lines() {
            self.line(format!("# {}", line.trim()).trim_end());
        }
    }

    fn line(&mut self, text: &str) {
        // Writing to a text cannot fail.
        let _infallible = writeln!(self.0, "{text}");
    }
}

impl Keys for Printer {
    fn key(&mut self, name: &'static str, about: &'static str, value: &mut dyn Value) {
        self.comment(about);
        match value.show() {
            Shown::Set(toml) => self.line(&format!("{name} = {toml}")),
            Shown::Unset => self.line(&format!("# {name} is not set")),
            Shown::Hidden => self.line(&format!("# {name} is set, and hidden here")),
        }
    }
}
