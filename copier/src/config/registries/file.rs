//! One file, with all its faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use berth_oci::Reference;
use toml::{Table, Value};

use super::{
    super::read,
    Alias, Mirror, Pulls, Registry, ShortNameMode,
    reader::Reader,
    short::{is_registry, short_name},
};
use crate::{Error, Result};

/// Where a table stands.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// The file.
    pub(super) path: PathBuf,
    /// `registry[3]`, counted from 0.
    pub(super) key: String,
}

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) registries: Vec<Registry>,
    /// `None` leaves what earlier files say; an empty list takes it back.
    pub(super) search: Option<Vec<String>>,
    pub(super) helpers: Option<Vec<String>>,
    pub(super) mode: Option<ShortNameMode>,
    pub(super) aliases: BTreeMap<String, Alias>,
    pub(super) warnings: Vec<String>,
}

/// Reads a file of registries.conf's format; `None` if it is not there.
pub(super) fn load(path: &Path) -> Result<Option<File>> {
    read::text(path)?.map(|text| parse(path, &text)).transpose()
}

/// Reads a file that has `[aliases]` alone.
pub(super) fn load_aliases(path: &Path) -> Result<Option<BTreeMap<String, Alias>>> {
    let Some(text) = read::text(path)? else { return Ok(None) };
    let mut reader = Reader::new(path);
    let aliases = reader.aliases(&table(path, &text)?);
    reader.faults.check(path)?;
    Ok(Some(aliases))
}

/// Reads the text of a file.
pub(super) fn parse(path: &Path, text: &str) -> Result<File> {
    let root = table(path, text)?;
    if root.get("registries").and_then(Value::as_table).is_some_and(|old| !old.is_empty()) {
        return Err(Error::Configuration {
            path: path.to_owned(),
            fault: "registries: this is version 1 of the format, which is not read; write [registries.search] as \
                    unqualified-search-registries = [\"HOST\"], and each host of [registries.insecure] and \
                    [registries.block] as a [[registry]] with location = \"HOST\" and insecure = true or blocked = true"
                .to_owned(),
        });
    }
    let mut reader = Reader::new(path);
    reader.unknown(
        "",
        &root,
        &[
            "registry",
            "registries",
            "unqualified-search-registries",
            "credential-helpers",
            "short-name-mode",
            "aliases",
            // For podman's additional layer stores, which nothing here has.
            "additional-layer-store-auth-helper",
        ],
    );
    let file = File {
        registries: reader.registries(&root),
        search: reader.search(&root),
        helpers: reader.strings(&root, "credential-helpers"),
        mode: reader.mode(&root),
        aliases: reader.aliases(&root),
        warnings: std::mem::take(&mut reader.warnings),
        path: path.to_owned(),
    };
    reader.faults.check(path)?;
    Ok(file)
}

fn table(path: &Path, text: &str) -> Result<Table> {
    text.parse().map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .map_or(1, |span| text.as_bytes()[..span.start.min(text.len())].split(|&b| b == b'\n').count());
        let fault = format!("line {line}: {}", error.message());
        Error::Configuration { path: path.to_owned(), fault }
    })
}

impl Reader<'_> {
    fn mode(&mut self, root: &Table) -> Option<ShortNameMode> {
        match self.string("", root, "short-name-mode")?.as_str() {
            "" => None,
            "enforcing" => Some(ShortNameMode::Enforcing),
            "permissive" => Some(ShortNameMode::Permissive),
            "disabled" => Some(ShortNameMode::Disabled),
            other => {
                let rule = format!("{other:?} is none of \"enforcing\", \"permissive\" and \"disabled\"");
                self.faults.add("short-name-mode", rule);
                None
            }
        }
    }

    fn search(&mut self, root: &Table) -> Option<Vec<String>> {
        let key = "unqualified-search-registries";
        let mut hosts = self.strings(root, key)?;
        for (place, host) in hosts.iter_mut().enumerate() {
            let name = format!("{key}[{place}]");
            *host = self.location(&name, host);
            let usable = "a/a".parse().is_ok_and(|name| Reference::new(host, name).is_ok());
            if !usable {
                self.faults
                    .add(name, format!("{host:?} is no host with an optional port, like example.org:5000"));
            }
        }
        Some(hosts)
    }

    /// A location or prefix without the slashes at its end.
    fn location(&mut self, key: &str, text: &str) -> String {
        if text.starts_with("http://") || text.starts_with("https://") {
            self.faults.add(
                key,
                format!("{text:?}: write it without http:// or https://; insecure = true allows http"),
            );
        }
        text.trim_end_matches('/').to_owned()
    }

    fn registries(&mut self, root: &Table) -> Vec<Registry> {
        let mut registries = Vec::new();
        for (key, of) in self.tables("", root, "registry") {
            registries.extend(self.registry(&key, of));
        }
        self.conflicts(&registries);
        let mut seen = BTreeSet::new();
        registries.retain(|registry| {
            let first = seen.insert(registry.prefix.clone());
            if !first {
                let Origin { path, key } = &registry.origin;
                let prefix = &registry.prefix;
                self.warnings.push(format!(
                    "{}: {key} is passed over: the first table with prefix {prefix:?} counts",
                    path.display()
                ));
            }
            first
        });
        registries
    }

    fn registry(&mut self, key: &str, of: &Table) -> Option<Registry> {
        let before = format!("{key}.");
        self.unknown(
            &before,
            of,
            &["prefix", "location", "insecure", "blocked", "mirror", "mirror-by-digest-only"],
        );
        let location = self.string(&before, of, "location").unwrap_or_default();
        let location = self.location(&format!("{before}location"), &location);
        let prefix = self.string(&before, of, "prefix").unwrap_or_default();
        let prefix = self.location(&format!("{before}prefix"), &prefix);
        let wildcard = prefix.starts_with("*.");
        if location.is_empty() && prefix.is_empty() {
            self.faults.add(key, "needs location, or prefix, or both");
            return None;
        }
        if location.is_empty() && !wildcard {
            self.faults.add(
                format!("{before}location"),
                format!("must be set, since prefix {prefix:?} is not of the form *.example.org"),
            );
        }
        if (wildcard && (prefix.len() == 2 || prefix.contains(['/', '@', ':'])))
            || prefix.get(1..).is_some_and(|rest| rest.contains('*'))
            || prefix == "*"
        {
            let rule = format!(
                "{prefix:?}: a wildcard stands for subdomains alone, like *.example.org, without port and path"
            );
            self.faults.add(format!("{before}prefix"), rule);
        }
        if of.contains_key("pull-from-mirror") {
            self.faults.add(format!("{before}pull-from-mirror"), "is for a [[registry.mirror]]");
        }
        let digest_only = self.flag(&before, of, "mirror-by-digest-only");
        let mirrors = self.tables(&before, of, "mirror");
        Some(Registry {
            mirrors: mirrors.into_iter().map(|(key, of)| self.mirror(&key, of, digest_only)).collect(),
            prefix: if prefix.is_empty() { location.clone() } else { prefix },
            location: (!location.is_empty()).then_some(location),
            insecure: self.flag(&before, of, "insecure"),
            blocked: self.flag(&before, of, "blocked"),
            origin: Origin { path: self.path.to_owned(), key: key.to_owned() },
        })
    }

    fn mirror(&mut self, key: &str, of: &Table, digest_only: bool) -> Mirror {
        let before = format!("{key}.");
        self.unknown(&before, of, &["location", "insecure", "pull-from-mirror"]);
        let location = self.string(&before, of, "location").unwrap_or_default();
        let location = self.location(&format!("{before}location"), &location);
        if location.is_empty() {
            self.faults.add(format!("{before}location"), "must be set");
        }
        let place = format!("{before}pull-from-mirror");
        let written = self.string(&before, of, "pull-from-mirror").unwrap_or_default();
        if digest_only && !written.is_empty() {
            self.faults.add(&place, "cannot stand beside mirror-by-digest-only of the registry");
        }
        let pulls = match written.as_str() {
            "" if digest_only => Pulls::DigestOnly,
            "" | "all" => Pulls::All,
            "digest-only" => Pulls::DigestOnly,
            "tag-only" => Pulls::TagOnly,
            other => {
                self.faults
                    .add(place, format!("{other:?} is none of \"all\", \"digest-only\" and \"tag-only\""));
                Pulls::All
            }
        };
        Mirror { location, insecure: self.flag(&before, of, "insecure"), pulls }
    }

    /// One place cannot be both secure and not.
    fn conflicts(&mut self, registries: &[Registry]) {
        let mut first = BTreeMap::new();
        for registry in registries {
            let place = registry.location.as_ref().unwrap_or(&registry.prefix);
            let earlier = *first.entry(place).or_insert(registry);
            for (key, differs) in [
                ("insecure", earlier.insecure != registry.insecure),
                ("blocked", earlier.blocked != registry.blocked),
            ] {
                if differs {
                    let rule = format!("differs from {} for the same {place:?}", earlier.origin.key);
                    self.faults.add(format!("{}.{key}", registry.origin.key), rule);
                }
            }
        }
    }

    fn aliases(&mut self, root: &Table) -> BTreeMap<String, Alias> {
        let table = match root.get("aliases") {
            None => return BTreeMap::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.faults.add("aliases", "must be a table, [aliases]");
                return BTreeMap::new();
            }
        };
        self.count("aliases", table.len());
        let mut aliases = BTreeMap::new();
        for (name, value) in table {
            match alias(name, value) {
                Ok(alias) => drop(aliases.insert(name.clone(), alias)),
                Err(rule) => self.faults.add(format!("aliases.{name:?}"), rule),
            }
        }
        aliases
    }
}

fn alias(name: &str, value: &Value) -> Result<Alias, String> {
    let text = value.as_str().ok_or("must be a text")?;
    if short_name(name) != Some(name) || name.parse::<Reference>().is_err() {
        return Err("must be a short name: without registry, tag and digest".to_owned());
    }
    if text.is_empty() {
        return Ok(Alias(None));
    }
    let rule = || format!("{text:?} must be a name with its registry, without tag and digest");
    let first =
        text.split_once('/').map(|(first, _)| first).filter(|first| is_registry(first)).ok_or_else(rule)?;
    let meant: Reference = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
    if meant.tag().is_some() || meant.digest().is_some() || first.is_empty() {
        return Err(rule());
    }
    Ok(Alias(Some(meant)))
}
