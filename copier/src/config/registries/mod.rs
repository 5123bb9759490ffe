//! registries.conf: where the images of a name really are, by containers-registries.conf(5) and
//! containers-registries.conf.d(5).

mod file;
mod locate;
mod matching;
mod reader;
mod short;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use berth_oci::Reference;

use self::file::{File, Origin};
use super::Environment;
use crate::{Error, Result, Settings};

/// What all files together say.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    registries: BTreeMap<String, Registry>,
    search: Vec<String>,
    search_origin: PathBuf,
    aliases: BTreeMap<String, Alias>,
    mode: Option<ShortNameMode>,
    helpers: Vec<String>,
    warnings: Vec<String>,
}

/// One `[[registry]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Registry {
    prefix: String,
    /// `None` leaves references as they are: only where the prefix is a wildcard.
    location: Option<String>,
    insecure: bool,
    blocked: bool,
    mirrors: Vec<Mirror>,
    origin: Origin,
}

/// One `[[registry.mirror]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    location: String,
    insecure: bool,
    pulls: Pulls,
}

/// `pull-from-mirror`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pulls {
    All,
    DigestOnly,
    TagOnly,
}

/// One line of `[aliases]`; without a value it takes back an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Alias(Option<Reference>);

/// `short-name-mode`: what is done about a short name that several registries could mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ShortNameMode {
    /// The user is asked, or it is an error.
    Enforcing,
    /// The user is asked; where there is no terminal, all are tried.
    #[default]
    Permissive,
    /// All are tried.
    Disabled,
}

/// A place to ask for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What to ask for there. A mirror may be on another host than the name: credentials that were given for the name
    /// (`--creds`) are not for it.
    pub reference: Reference,
    /// `insecure`: any certificate is taken, and plain HTTP where nothing answers HTTPS.
    pub insecure: bool,
}

impl Registries {
    /// Reads the files that the settings name, or the usual ones.
    ///
    /// # Errors
    /// `Error::Configuration` with every fault of the first faulty file; `Error::File` for one that cannot be read, or that
    /// the user named and is not there.
    pub fn load(settings: &Settings) -> Result<Self> {
        Self::load_in(settings, &Environment::from_process())
    }

    /// [`Self::load`] with another environment than the process's.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn load_in(settings: &Settings, environment: &Environment) -> Result<Self> {
        let places = locate::places(settings.registries_conf.as_deref(), environment);
        let mut all = Self::default();
        match file::load(&places.main)? {
            Some(main) => all.overlay(main),
            None if places.required => return Err(missing(&places.main)),
            None => all.search_origin.clone_from(&places.main),
        }
        for folder in &places.drop_ins {
            for path in super::read::folder(folder, &["conf"])? {
                // One that went away since the folder was read is none.
                if let Some(file) = file::load(&path)? {
                    all.overlay(file);
                }
            }
        }
        // What the tools noted themselves goes before what people wrote.
        if let Some(path) = &places.noted_aliases
            && let Some(noted) = file::load_aliases(path)?
        {
            all.aliases.extend(noted);
        }
        Ok(all)
    }

    /// Puts a later file over the earlier ones: tables of a prefix replace the earlier table of that prefix whole,
    /// aliases theirs by name, and other settings are replaced where the later file has them.
    fn overlay(&mut self, later: File) {
        self.registries
            .extend(later.registries.into_iter().map(|registry| (registry.prefix.clone(), registry)));
        self.aliases.extend(later.aliases);
        if let Some(search) = later.search {
            (self.search, self.search_origin) = (search, later.path);
        }
        if let Some(helpers) = later.helpers {
            self.helpers = helpers;
        }
        self.mode = later.mode.or(self.mode);
        self.warnings.extend(later.warnings);
    }

    /// Where to pull an image from: the mirrors in their order, then the location itself. `blocked` takes away the
    /// location and leaves the mirrors: that is how a registry is replaced by its mirrors.
    ///
    /// # Errors
    /// `Error::Refused` if `blocked` leaves nothing; `Error::Configuration` if what a location makes of the name is none.
    pub fn pull_candidates(&self, reference: &Reference) -> Result<Vec<Candidate>> {
        let Some(registry) = self.registry_of(reference) else {
            return Ok(vec![Candidate { reference: reference.clone(), insecure: false }]);
        };
        let by_digest = reference.digest().is_some();
        let mirrors = registry.mirrors.iter().filter(|mirror| match mirror.pulls {
            Pulls::All => true,
            Pulls::DigestOnly => by_digest,
            Pulls::TagOnly => !by_digest,
        });
        let mut candidates = Vec::new();
        for mirror in mirrors {
            let moved = registry.rewrite(reference, Some(&mirror.location))?;
            // A mirror may be blocked under its own name.
            if !self.registry_of(&moved).is_some_and(|place| place.blocked) {
                candidates.push(Candidate { reference: moved, insecure: mirror.insecure });
            }
        }
        let moved = registry.rewrite(reference, registry.location.as_deref())?;
        match [Some(registry), self.registry_of(&moved)].into_iter().flatten().find(|place| place.blocked) {
            None => candidates.push(Candidate { reference: moved, insecure: registry.insecure }),
            Some(blocked) if candidates.is_empty() => return Err(blocked.refusal(reference)),
            Some(_) => {}
        }
        Ok(candidates)
    }

    /// Where to write an image: under its own name, for redirections and mirrors are for pulls alone.
    ///
    /// # Errors
    /// `Error::Refused` if `blocked` says so.
    pub fn primary(&self, reference: &Reference) -> Result<Candidate> {
        let registry = self.registry_of(reference);
        if let Some(registry) = registry.filter(|registry| registry.blocked) {
            return Err(registry.refusal(reference));
        }
        let insecure = registry.is_some_and(|registry| registry.insecure);
        Ok(Candidate { reference: reference.clone(), insecure })
    }

    /// Whether connections to a host are `insecure`, for requests that concern no repository (a login, a list of
    /// repositories).
    ///
    /// # Errors
    /// `Error::Refused` if `blocked` says so.
    pub fn host_is_insecure(&self, host: &str) -> Result<bool> {
        let registry = matching::longest(self.registries.values(), host);
        match registry {
            Some(registry) if registry.blocked => Err(registry.refusal(host)),
            found => Ok(found.is_some_and(|registry| registry.insecure)),
        }
    }

    /// `unqualified-search-registries`.
    #[must_use]
    pub fn unqualified_search(&self) -> &[String] {
        &self.search
    }

    /// `credential-helpers`; empty where no file says.
    #[must_use]
    pub fn credential_helpers(&self) -> &[String] {
        &self.helpers
    }

    /// `short-name-mode`.
    #[must_use]
    pub fn short_name_mode(&self) -> ShortNameMode {
        self.mode.unwrap_or_default()
    }

    /// What was passed over: keys that nobody knows, tables that another of the same prefix hides.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn registry_of(&self, reference: &Reference) -> Option<&Registry> {
        matching::longest(self.registries.values(), &reference.to_string())
    }
}

impl Registry {
    /// The reference at a location: what follows the prefix, behind the location.
    fn rewrite(&self, reference: &Reference, location: Option<&str>) -> Result<Reference> {
        let Some(location) = location else { return Ok(reference.clone()) };
        let name = reference.to_string();
        let rest = matching::matched(&name, &self.prefix).map_or("", |length| &name[length..]);
        let moved = format!("{location}{rest}");
        let fault = |rule: String| Error::Configuration {
            path: self.origin.path.clone(),
            fault: format!("{}: location {location:?} makes {moved:?} of {name:?}: {rule}", self.origin.key),
        };
        let parsed: Reference = moved.parse().map_err(|error| fault(format!("{error}")))?;
        // Else a location without a host, or of one word on Docker Hub, would quietly mean something else.
        if parsed.to_string() != moved {
            return Err(fault(format!(
                "that would mean {parsed}; a location begins with a host, like registry.example.org"
            )));
        }
        Ok(parsed)
    }

    fn refusal(&self, what: impl std::fmt::Display) -> Error {
        Error::Refused(format!(
            "{what}: registry {} is blocked in {} ({})",
            self.prefix,
            self.origin.path.display(),
            self.origin.key
        ))
    }
}

fn missing(path: &Path) -> Error {
    Error::file(path)(std::io::ErrorKind::NotFound.into()).context("loading registries configuration")
}
