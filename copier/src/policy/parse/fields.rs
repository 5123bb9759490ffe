//! Taking an object apart: every field once, none left over, every fault noted with its place.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::super::model::Material;
use crate::signature::json::{Json, quoted};

/// Most faults that are told.
const MAX_FAULTS: usize = 100;

#[derive(Default)]
pub(super) struct Faults {
    pub(super) found: Vec<String>,
    more: usize,
}

impl Faults {
    pub(super) fn add<T>(&mut self, at: &str, fault: impl AsRef<str>) -> Option<T> {
        if self.found.len() == MAX_FAULTS {
            self.more += 1;
        } else {
            self.found.push(format!("{at}: {}", fault.as_ref()));
        }
        None
    }

    pub(super) fn text(&self) -> String {
        let mut text = match (self.found.as_slice(), self.more) {
            ([one], 0) => return one.clone(),
            (found, more) => format!("{} problems", found.len() + more),
        };
        for fault in &self.found {
            text.push_str("\n  ");
            text.push_str(fault);
        }
        text
    }
}

/// An object's fields, of which each is taken once and none may be left.
pub(super) struct Fields<'a> {
    pub(super) at: String,
    pub(super) left: BTreeMap<&'a str, &'a Json>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(json: &'a Json, at: &str, faults: &mut Faults) -> Option<Self> {
        let Json::Object(fields) = json else {
            return faults.add(at, format!("expected an object, found {}", json.kind()));
        };
        let left = fields.iter().map(|(key, value)| (key.as_str(), value)).collect();
        Some(Self { at: at.to_owned(), left })
    }

    pub(super) fn key(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<&'a Json> {
        self.left.remove(name)
    }

    pub(super) fn text(&mut self, name: &str, faults: &mut Faults) -> Option<String> {
        let json = self.take(name)?;
        match json.text() {
            Ok("") => faults.add(&self.key(name), "is empty"),
            Ok(text) => Some(text.to_owned()),
            Err(fault) => faults.add(&self.key(name), fault),
        }
    }

    pub(super) fn required(&mut self, name: &str, faults: &mut Faults) -> Option<String> {
        if !self.left.contains_key(name) {
            return faults.add(&self.key(name), "is required");
        }
        self.text(name, faults)
    }

    pub(super) fn texts(&mut self, name: &str, faults: &mut Faults) -> Option<Vec<String>> {
        let key = self.key(name);
        match self.take(name)? {
            Json::Array(items) if items.is_empty() => faults.add(&key, "is empty"),
            Json::Array(items) => {
                let texts = items.iter().enumerate().map(|(place, item)| match item.text() {
                    Ok("") => faults.add(&format!("{key}[{place}]"), "is empty"),
                    Ok(text) => Some(text.to_owned()),
                    Err(fault) => faults.add(&format!("{key}[{place}]"), fault),
                });
                // Every item is looked at before the first fault ends it.
                texts.collect::<Vec<_>>().into_iter().collect()
            }
            other => faults.add(&key, format!("expected an array, found {}", other.kind())),
        }
    }

    /// Names of fields that are left are faults.
    pub(super) fn end(self, faults: &mut Faults) {
        for name in self.left.keys() {
            let at = if self.at.is_empty() { "the policy" } else { &self.at };
            faults.add::<()>(at, format!("unknown field {}", quoted(name)));
        }
    }

    /// What stands under one of the names. More than one of them is a fault, none is `None`.
    pub(super) fn material(&mut self, names: &Names, faults: &mut Faults) -> Option<Material> {
        let given: Vec<_> = names.given(self).collect();
        if given.len() > 1 {
            faults.add::<()>(&self.at, format!("only one of {} may be given", given.join(", ")));
        }
        let mut found = None;
        for name in given {
            let list = name.ends_with('s');
            let texts =
                if list { self.texts(name, faults) } else { self.text(name, faults).map(|text| vec![text]) };
            let Some(texts) = texts else { continue };
            found = if names.files.contains(&name) {
                Some(Material::Files(texts.into_iter().map(Into::into).collect()))
            } else {
                match texts.iter().map(|text| STANDARD.decode(text)).collect() {
                    Ok(data) => Some(Material::Data(data)),
                    Err(fault) => faults.add(&self.key(name), format!("no base64: {fault}")),
                }
            };
        }
        found
    }

    pub(super) fn required_material(&mut self, names: &Names, faults: &mut Faults) -> Option<Material> {
        if names.given(self).next().is_none() {
            return faults
                .add(&self.at, format!("one of {} is required", names.all().collect::<Vec<_>>().join(", ")));
        }
        self.material(names, faults)
    }
}

/// The names under which content may be given: by path, or in base64. A name in the plural is that of a list.
pub(super) struct Names {
    pub(super) files: &'static [&'static str],
    pub(super) data: &'static [&'static str],
}

impl Names {
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.files.iter().chain(self.data).copied()
    }

    pub(super) fn given(&self, fields: &Fields<'_>) -> impl Iterator<Item = &'static str> {
        self.all().filter(|name| fields.left.contains_key(name))
    }
}
