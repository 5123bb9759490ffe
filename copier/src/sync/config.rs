//! The list of images in YAML: `sync --src yaml FILE`.
//!
//! The top keys are registries. Under each:
//!
//! | key | value |
//! |---|---|
//! | `images` | repository → list of tags and digests; an empty list is every tag |
//! | `images-by-tag-regex` | repository → regular expression that fits any part of a tag |
//! | `images-by-semver` | repository → constraint on versions, see [`super::Constraint`] |
//! | `credentials` | `username` and `password` |
//! | `tls-verify` | `true` or `false`; without it the command line says |
//! | `cert-dir` | folder with `*.crt`, `*.cert` and `*.key` |
//! | `exclude` | list of patterns ([`super::Pattern`]) of tags that are not taken; lists by name are taken as they are |
//! | `latest` | at most so many tags of each repository |
//! | `platforms` | list of `os/architecture[/variant]`: these children of indexes |
//! | `prune` | `true`: as `--prune` for these repositories |
//! | `referrers` | `true`: signatures, SBOMs and other referrers come too |
//!
//! The last five are this program's own.

use std::path::{Path, PathBuf};

use berth_oci::{ManifestReference, Platform, Reference};

use super::{
    constraint::Constraint,
    tags::{Pattern, Rule, regex},
    tree::{self, Key, Node, Value},
};
use crate::{Error, Result, Secret};

const KEYS: &[&str] = &[
    "images",
    "images-by-tag-regex",
    "images-by-semver",
    "credentials",
    "tls-verify",
    "cert-dir",
    "exclude",
    "latest",
    "platforms",
    "prune",
    "referrers",
];

/// What is wanted of one registry.
#[derive(Clone, Debug)]
pub struct Registry {
    /// The key: a host, or a host and the beginning of a path.
    pub name: String,
    /// Repositories, in the order of the file.
    pub repositories: Vec<Wanted>,
    /// `credentials`.
    pub credentials: Option<(String, Secret)>,
    /// `tls-verify`.
    pub tls_verify: Option<bool>,
    /// `cert-dir`.
    pub cert_dir: Option<PathBuf>,
    /// `exclude`.
    pub exclude: Vec<Pattern>,
    /// `latest`.
    pub latest: Option<usize>,
    /// `platforms`.
    pub platforms: Vec<Platform>,
    /// `prune`.
    pub prune: bool,
    /// `referrers`.
    pub referrers: bool,
}

/// What is wanted of one repository.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Host and name.
    pub repository: Reference,
    /// Which of its images.
    pub images: Images,
}

/// Which images of a repository.
#[derive(Clone, Debug)]
pub enum Images {
    /// These.
    Named(Vec<ManifestReference>),
    /// Of all tags those that a rule takes.
    Listed(Rule),
}

/// Reads a list.
///
/// # Errors
/// `Error::File`, and `Error::Configuration` with every fault at once, each with its line.
pub fn read(path: &Path) -> Result<Vec<Registry>> {
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    parse(&text).map_err(|faults| {
        let count =
            if faults.len() == 1 { "1 problem".to_owned() } else { format!("{} problems", faults.len()) };
        let lines: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        Error::Configuration { path: path.into(), fault: format!("{count}{lines}") }
    })
}

/// Reads a list's text; every fault is one line.
pub(super) fn parse(text: &str) -> Result<Vec<Registry>, Vec<String>> {
    let tree = tree::read(text).map_err(|fault| vec![fault])?;
    let mut faults = Faults::default();
    let mut out = Vec::new();
    match &tree.value {
        Value::Map(entries) => {
            for (key, node) in entries {
                out.extend(registry(key, node, &mut faults));
            }
        }
        _ => faults
            .push(tree.line, &format!("the list is {}; its keys are registries, like quay.io:", tree.kind())),
    }
    if faults.0.is_empty() { Ok(out) } else { Err(faults.0) }
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn push(&mut self, line: u64, text: &str) {
        self.0.push(format!("line {line}: {text}"));
    }

    /// The value, or nothing and one more fault.
    fn keep<T>(&mut self, line: u64, read: Result<T, String>) -> Option<T> {
        read.map_err(|fault| self.push(line, &fault)).ok()
    }
}

fn registry(key: &Key, node: &Node, faults: &mut Faults) -> Option<Registry> {
    let name = key.text.as_str();
    let Value::Map(entries) = &node.value else {
        faults
            .push(node.line, &format!("{name} is {}; under a registry stand keys like images:", node.kind()));
        return None;
    };
    let mut out = Registry {
        name: name.to_owned(),
        repositories: Vec::new(),
        credentials: None,
        tls_verify: None,
        cert_dir: None,
        exclude: Vec::new(),
        latest: None,
        platforms: Vec::new(),
        prune: false,
        referrers: false,
    };
    for (key, value) in entries {
        let place = format!("{name}: {}", key.text);
        match key.text.as_str() {
            "images" => repositories(name, &place, value, faults, &mut out, named),
            "images-by-tag-regex" => {
                repositories(name, &place, value, faults, &mut out, |place, node, faults| {
                    let read =
                        text(place, node).and_then(|t| regex(t).map_err(|error| format!("{place}: {error}")));
                    faults.keep(node.line, read).map(|regex| Images::Listed(Rule::Regex(regex)))
                })
            }
            "images-by-semver" => {
                repositories(name, &place, value, faults, &mut out, |place, node, faults| {
                    let read = text(place, node)
                        .and_then(|t| Constraint::parse(t).map_err(|error| format!("{place}: {error}")));
                    faults.keep(node.line, read).map(|constraint| Images::Listed(Rule::Semver(constraint)))
                })
            }
            "credentials" => out.credentials = credentials(&place, value, faults),
            "tls-verify" => out.tls_verify = faults.keep(value.line, truth(&place, value)),
            "cert-dir" => out.cert_dir = faults.keep(value.line, text(&place, value)).map(PathBuf::from),
            "exclude" => out.exclude = list(&place, value, faults),
            "latest" => out.latest = faults.keep(value.line, count(&place, value)),
            "platforms" => out.platforms = list(&place, value, faults),
            "prune" => out.prune = faults.keep(value.line, truth(&place, value)).unwrap_or_default(),
            "referrers" => out.referrers = faults.keep(value.line, truth(&place, value)).unwrap_or_default(),
            _ => faults.push(
                key.line,
                &format!("{name}: \"{}\" is no key; known are {}", key.text, KEYS.join(", ")),
            ),
        }
    }
    Some(out)
}

/// `repository → something` for each entry.
fn repositories(
    registry: &str,
    place: &str,
    node: &Node,
    faults: &mut Faults,
    out: &mut Registry,
    images: impl Fn(&str, &Node, &mut Faults) -> Option<Images>,
) {
    let entries = match &node.value {
        Value::Map(entries) => entries,
        Value::Null => return,
        _ => {
            return faults.push(node.line, &format!("{place} is {}; its keys are repositories", node.kind()));
        }
    };
    for (key, value) in entries {
        let place = format!("{place}: {}", key.text);
        let repository = match format!("{registry}/{}", key.text).parse::<Reference>() {
            Ok(reference) if reference.tag().is_none() && reference.digest().is_none() => Some(reference),
            Ok(_) => {
                faults.push(
                    key.line,
                    &format!("{place} has a tag or digest; those stand in the list behind it"),
                );
                None
            }
            Err(error) => {
                faults.push(key.line, &format!("{place}: {error}"));
                None
            }
        };
        if let (Some(images), Some(repository)) = (images(&place, value, faults), repository) {
            out.repositories.push(Wanted { repository, images });
        }
    }
}

fn named(place: &str, node: &Node, faults: &mut Faults) -> Option<Images> {
    let all = Some(Images::Listed(Rule::Every));
    match &node.value {
        Value::Null => all,
        Value::List(items) if items.is_empty() => all,
        _ => Some(Images::Named(list(place, node, faults))),
    }
}

fn list<T: std::str::FromStr<Err: std::fmt::Display>>(
    place: &str,
    node: &Node,
    faults: &mut Faults,
) -> Vec<T> {
    let Value::List(items) = &node.value else {
        faults.push(node.line, &format!("{place} is {}; write a list, like [a, b]", node.kind()));
        return Vec::new();
    };
    let read = |node: &Node| text(place, node)?.parse().map_err(|error| format!("{place}: {error}"));
    items.iter().filter_map(|item| faults.keep(item.line, read(item))).collect()
}

fn text<'a>(place: &str, node: &'a Node) -> Result<&'a str, String> {
    match &node.value {
        Value::Text(text) => Ok(text),
        _ => Err(format!("{place} is {}; write one text", node.kind())),
    }
}

fn truth(place: &str, node: &Node) -> Result<bool, String> {
    match text(place, node)? {
        "true" | "True" | "TRUE" | "yes" | "on" => Ok(true),
        "false" | "False" | "FALSE" | "no" | "off" => Ok(false),
        other => Err(format!("{place}: \"{other}\" is neither true nor false")),
    }
}

fn count(place: &str, node: &Node) -> Result<usize, String> {
    let fault = |text: &str| format!("{place}: \"{text}\" is no count; write 1 or more");
    let text = text(place, node)?;
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| fault(text))
}

fn credentials(place: &str, node: &Node, faults: &mut Faults) -> Option<(String, Secret)> {
    let Value::Map(entries) = &node.value else {
        faults
            .push(node.line, &format!("{place} is {}; under it stand username: and password:", node.kind()));
        return None;
    };
    let (mut username, mut password) = (None, None);
    for (key, value) in entries {
        let place = format!("{place}: {}", key.text);
        match key.text.as_str() {
            "username" => username = faults.keep(value.line, text(&place, value)).map(str::to_owned),
            "password" => password = faults.keep(value.line, text(&place, value)).map(Secret::new),
            "identitytoken" => faults.push(
                key.line,
                &format!("{place}: identity tokens are read from a credentials file only; name it with --src-authfile"),
            ),
            _ => faults.push(key.line, &format!("{place} is no key; known are username and password")),
        }
    }
    if username.is_none() || password.is_none() {
        faults.push(node.line, &format!("{place} need both username: and password:"));
    }
    Some((username?, password?))
}

#[cfg(test)]
mod tests;
