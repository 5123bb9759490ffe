//! One file of credentials: its faults, and who is found in it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use super::{super::faults::Faults, Credential, lookup_order};
use crate::{Error, Result, Secret};

/// Docker Hub's key in files and helpers of Docker's.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The name that all of Docker Hub's are compared by.
const HUB_HOST: &str = "index.docker.io";

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The two shapes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// auth.json and config.json: `{"auths": {KEY: …}, "credHelpers": …, "credsStore": …}`.
    Keyed,
    /// .dockercfg: `{KEY: …}`, and every key a host or its URL.
    Bare,
}

/// What a file says of a key.
#[derive(Debug)]
pub(super) enum Found {
    /// The credential itself.
    Credential(Credential),
    /// `credHelpers` names a program for the host.
    Helper { name: String, server: String },
    /// `credsStore` names a program for all hosts.
    Store { name: String, server: String },
    /// Nothing.
    Nothing,
}

/// A file without faults of form.
#[derive(Debug)]
pub(super) struct Contents {
    path: PathBuf,
    format: Format,
    auths: BTreeMap<String, Entry>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

#[derive(Debug, Default)]
struct Entry {
    auth: Secret,
    identity_token: Secret,
}

impl Contents {
    pub(super) fn parse(path: &Path, format: Format, bytes: &[u8]) -> Result<Self> {
        let root = parse_object(path, bytes)?;
        let mut faults = Faults::default();
        let mut contents = Self {
            path: path.to_owned(),
            format,
            auths: BTreeMap::new(),
            helpers: BTreeMap::new(),
            store: None,
        };
        match format {
            Format::Bare => contents.auths = entries("", &root, &mut faults),
            Format::Keyed => {
                if let Some(auths) = object(&root, "auths", &mut faults) {
                    contents.auths = entries("auths.", auths, &mut faults);
                }
                for (host, name) in object(&root, "credHelpers", &mut faults).into_iter().flatten() {
                    match name.as_str() {
                        Some(name) => drop(contents.helpers.insert(host.clone(), name.to_owned())),
                        None => faults.add(
                            format!("credHelpers.{host:?}"),
                            "must be a text: what follows docker-credential-",
                        ),
                    }
                }
                contents.store = string("", &root, "credsStore", &mut faults).filter(|name| !name.is_empty());
            }
        }
        faults.check(path)?;
        Ok(contents)
    }

    /// `credsStore`.
    pub(super) fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    /// The program that `credHelpers` names for exactly this key.
    pub(super) fn helper(&self, key: &str) -> Option<&str> {
        self.helpers.get(key).map(String::as_str)
    }

    /// `credHelpers`.
    pub(super) fn helpers(&self) -> &BTreeMap<String, String> {
        &self.helpers
    }

    /// Whether `auths` has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.auths.contains_key(key)
    }

    /// The keys of `auths` as they stand.
    pub(super) fn raw_keys(&self) -> impl Iterator<Item = &String> {
        self.auths.keys()
    }

    /// All keys, as [`super::Credentials::find_key`] takes them.
    pub(super) fn keys(&self) -> Vec<String> {
        let auths = self.auths.keys().map(|key| match normalised(key, self.format) {
            HUB_HOST => "docker.io".to_owned(),
            host => host.to_owned(),
        });
        auths.chain(self.helpers.keys().map(|key| host_key(key))).collect()
    }

    pub(super) fn find(&self, key: &str, host: &str) -> Result<Found> {
        let wanted = normalised_host(host);
        let program = self
            .helpers
            .get_key_value(host)
            .or_else(|| self.helpers.iter().find(|(key, _)| normalised(key, Format::Keyed) == wanted));
        if let Some((server, name)) = program {
            return Ok(Found::Helper { name: name.clone(), server: server.clone() });
        }
        if let Some((key, entry)) = self.entry(key, host, wanted)
            && let Some(credential) = self.decode(key, entry)?
        {
            return Ok(Found::Credential(credential));
        }
        Ok(match &self.store {
            Some(name) => Found::Store { name: name.clone(), server: server_of(host).to_owned() },
            None => Found::Nothing,
        })
    }

    /// Exact keys first, the longest before the others. Then the keys that Docker once wrote: URLs, and the other names
    /// of its own registry.
    fn entry(&self, key: &str, host: &str, wanted: &str) -> Option<(&String, &Entry)> {
        let exact = match self.format {
            Format::Keyed => lookup_order(key).iter().find_map(|key| self.auths.get_key_value(key)),
            Format::Bare => self.auths.get_key_value(host),
        };
        exact.or_else(|| self.auths.iter().find(|(key, _)| normalised(key, self.format) == wanted))
    }

    fn decode(&self, key: &str, entry: &Entry) -> Result<Option<Credential>> {
        let fault = |rule: &str| Error::Configuration {
            path: self.path.clone(),
            fault: format!("auths.{key:?}.auth: {rule}; log in again to replace it"),
        };
        let encoded: String = entry.auth.expose().split_ascii_whitespace().collect();
        let decoded = BASE64.decode(encoded).map_err(|_| fault("must be base64 of USER:PASSWORD"))?;
        let text =
            String::from_utf8(decoded).map_err(|_| fault("must be base64 of USER:PASSWORD in UTF-8"))?;
        let Some((user, password)) = text.split_once(':') else {
            // Docker writes empty entries for what its helpers keep. Any other text may be a secret: it is not told.
            return if text.is_empty() {
                Ok(None)
            } else {
                Err(fault("must be base64 of USER:PASSWORD, and what it decodes to has no colon"))
            };
        };
        let user = user.to_owned();
        if !entry.identity_token.expose().is_empty() {
            return Ok(Some(Credential::IdentityToken { user, token: entry.identity_token.clone() }));
        }
        let password = Secret::new(password.trim_matches('\0'));
        let empty = user.is_empty() && password.expose().is_empty();
        Ok((!empty).then_some(Credential::Basic { user, password }))
    }
}

/// `KEY` as a host, where it is a URL of Docker's; `docker.io` for all of Docker Hub's names.
pub(super) fn host_key(key: &str) -> String {
    match normalised(key, Format::Keyed) {
        HUB_HOST => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

/// What a helper program knows a host by.
pub(super) fn server_of(host: &str) -> &str {
    if normalised_host(host) == HUB_HOST { HUB_KEY } else { host }
}

fn normalised(key: &str, format: Format) -> &str {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let name = bare.unwrap_or(key);
    let whole = format == Format::Keyed && bare.is_none();
    normalised_host(if whole { name } else { name.split('/').next().unwrap_or_default() })
}

fn normalised_host(host: &str) -> &str {
    if matches!(host, "docker.io" | "registry-1.docker.io") { HUB_HOST } else { host }
}

/// The JSON object that a file of credentials is.
pub(super) fn parse_object(path: &Path, bytes: &[u8]) -> Result<Map<String, Value>> {
    let fault = |fault: String| Error::Configuration { path: path.to_owned(), fault };
    let parsed = serde_json::from_slice(bytes).map_err(|error| {
        // Of the error its place alone is told: what serde quotes may be a secret.
        let place = format!("line {} column {}", error.line(), error.column());
        fault(format!("not JSON ({place}); an empty file of credentials is {{}}"))
    })?;
    match parsed {
        Value::Object(root) => Ok(root),
        _ => Err(fault("must be a JSON object, like {\"auths\": {}}".to_owned())),
    }
}

fn object<'a>(
    root: &'a Map<String, Value>,
    key: &str,
    faults: &mut Faults,
) -> Option<&'a Map<String, Value>> {
    match root.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::Object(found)) => Some(found),
        Some(_) => {
            faults.add(key, "must be an object");
            None
        }
    }
}

fn string(before: &str, of: &Map<String, Value>, key: &str, faults: &mut Faults) -> Option<String> {
    match of.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) => {
            faults.add(format!("{before}{key}"), "must be a text");
            None
        }
    }
}

fn entries(before: &str, of: &Map<String, Value>, faults: &mut Faults) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for (key, value) in of {
        let place = format!("{before}{key:?}.");
        let entry = match value {
            Value::Object(entry) => Entry {
                auth: Secret::new(string(&place, entry, "auth", faults).unwrap_or_default()),
                identity_token: Secret::new(
                    string(&place, entry, "identitytoken", faults).unwrap_or_default(),
                ),
            },
            Value::Null => Entry::default(),
            _ => {
                faults.add(format!("{before}{key:?}"), "must be an object with \"auth\"");
                continue;
            }
        };
        entries.insert(key.clone(), entry);
    }
    entries
}
