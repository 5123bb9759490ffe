//! registries.d: where an image's signatures are kept (containers-registries.d(5)).

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use berth_oci::Reference;
use serde::Deserialize;
use url::Url;

use super::{Environment, faults::Faults, read, scopes};
use crate::{Error, Result};

/// What all files of the folder together say.
#[derive(Clone, Debug)]
pub struct SignatureStorage {
    default: Option<Section>,
    scopes: BTreeMap<String, Section>,
    builtin: Option<Url>,
}

/// Where one image's signatures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The root of the store to read from: `/REPOSITORY@ALGORITHM=HEX/signature-N` goes below it, the repository without
    /// its host. Without any configuration it is the user's own folder.
    pub lookaside: Option<Url>,
    /// The root of the store to write to; the one to read from, unless another is configured.
    pub lookaside_staging: Option<Url>,
    /// Whether signatures lie in the registry itself, as sigstore's attachments.
    pub use_sigstore_attachments: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Section {
    lookaside: Option<Url>,
    staging: Option<Url>,
    attachments: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    default_docker: Option<Written>,
    #[serde(default)]
    docker: Option<BTreeMap<String, Option<Written>>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Written {
    lookaside: Option<String>,
    lookaside_staging: Option<String>,
    // The names before containers/image 5.22.
    sigstore: Option<String>,
    sigstore_staging: Option<String>,
    use_sigstore_attachments: Option<bool>,
}

impl SignatureStorage {
    /// Reads every `*.yaml` of the folder: the given one (`--registries.d`), or the user's, or the system's.
    ///
    /// # Errors
    /// `Error::Configuration` with every fault of a file, and for a scope that two files describe; `Error::File` for what
    /// cannot be read.
    pub fn load(dir: Option<&Path>) -> Result<Self> {
        Self::load_in(dir, &Environment::from_process())
    }

    /// [`Self::load`] with another environment than the process's.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn load_in(dir: Option<&Path>, environment: &Environment) -> Result<Self> {
        let mut all = Self { default: None, scopes: BTreeMap::new(), builtin: builtin(environment) };
        let mut default_origin: Option<PathBuf> = None;
        let mut origins: BTreeMap<String, PathBuf> = BTreeMap::new();
        for path in read::folder(&folder(dir, environment), &["yaml"])? {
            let Some(text) = read::text(&path)? else { continue };
            let file = parse(&path, &text)?;
            let mut faults = Faults::default();
            if let Some(written) = file.default_docker {
                if let Some(other) = &default_origin {
                    faults.add("default-docker", format!("is defined in {} already", other.display()));
                }
                all.default = Some(section("default-docker", &written, &mut faults));
                default_origin = Some(path.clone());
            }
            for (scope, written) in file.docker.into_iter().flatten() {
                let key = format!("docker.{scope:?}");
                if let Some(other) = origins.get(&scope) {
                    faults.add(&key, format!("is defined in {} already", other.display()));
                }
                let section = section(&key, &written.unwrap_or_default(), &mut faults);
                all.scopes.insert(scope.clone(), section);
                origins.insert(scope, path.clone());
            }
            faults.check(&path)?;
        }
        Ok(all)
    }

    /// The store of an image. Each of its settings is that of the narrowest scope that has it: the image with its tag
    /// or digest, its repository, its namespaces, its host, `*.` with a parent domain, `default-docker`.
    #[must_use]
    pub fn for_reference(&self, reference: &Reference) -> Storage {
        let scopes = std::iter::once(reference.to_string()).chain(scopes(reference));
        let sections: Vec<&Section> =
            scopes.filter_map(|scope| self.scopes.get(&scope)).chain(&self.default).collect();
        let read = sections.iter().find_map(|section| section.lookaside.as_ref());
        let write =
            sections.iter().find_map(|section| section.staging.as_ref().or(section.lookaside.as_ref()));
        Storage {
            lookaside: read.or(self.builtin.as_ref()).cloned(),
            lookaside_staging: write.or(self.builtin.as_ref()).cloned(),
            use_sigstore_attachments: sections
                .iter()
                .find_map(|section| section.attachments)
                .unwrap_or(false),
        }
    }
}

fn folder(dir: Option<&Path>, environment: &Environment) -> PathBuf {
    let user = || environment.in_home(".config/containers/registries.d").filter(|folder| folder.exists());
    match dir {
        Some(dir) => dir.to_owned(),
        None => user().unwrap_or_else(|| environment.system("etc/containers/registries.d")),
    }
}

/// The store of those who configured none.
fn builtin(environment: &Environment) -> Option<Url> {
    let folder = match environment.uid {
        0 => environment.system("var/lib/containers/sigstore"),
        _ => environment.in_home(".local/share/containers/sigstore")?,
    };
    Url::from_file_path(folder).ok()
}

fn parse(path: &Path, text: &str) -> Result<File> {
    // An empty file, or one of comments, says nothing.
    let parsed: Option<File> = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| Error::Configuration { path: path.to_owned(), fault: error.to_string() })?;
    Ok(parsed.unwrap_or_default())
}

/// YAML as other tools read it here, with bounds on what aliases may blow up to, and without excerpts in messages.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        legacy_octal_numbers: false,
    }
}

fn section(key: &str, written: &Written, faults: &mut Faults) -> Section {
    let mut url = |names: [(&str, &Option<String>); 2]| {
        let (name, text) = names
            .into_iter()
            .find_map(|(name, text)| Some((name, text.as_deref().filter(|text| !text.is_empty())?)))?;
        match Url::parse(text) {
            Ok(url) => Some(url),
            Err(error) => {
                faults.add(format!("{key}.{name}"), format!("{text:?} is no URL: {error}"));
                None
            }
        }
    };
    Section {
        lookaside: url([("lookaside", &written.lookaside), ("sigstore", &written.sigstore)]),
        staging: url([
            ("lookaside-staging", &written.lookaside_staging),
            ("sigstore-staging", &written.sigstore_staging),
        ]),
        attachments: written.use_sigstore_attachments,
    }
}
