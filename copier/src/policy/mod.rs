//! Which images may be copied: policy.json, read strictly and enforced before the first byte of a blob moves
//! (containers-policy.json(5)).
//!
//! The policy is the first of `--policy`, `~/.config/containers/policy.json`, `/etc/containers/policy.json`. Without any the
//! default accepts everything, and `--require-signed` turns that off, as it turns off every `insecureAcceptAnything`.
//!
//! The rules of the narrowest scope that an image is in apply, alone. All of them must be satisfied; whatever cannot be
//! found out (a key that cannot be read, a store that does not answer) refuses the image with it.

mod evaluate;
mod identity;
mod model;
mod parse;
mod scope;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;

use self::evaluate::Image;
pub(crate) use self::evaluate::read;
use crate::{
    Error, ImageName, RawManifest, Result, Settings, Source,
    config::{Environment, is_there},
};

pub use model::{Identity, Material, Repository, Requirement, Signer};

/// Most bytes of a policy.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A policy, and whether it may accept what nobody signed.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Rules,
    /// The file, for errors.
    origin: Option<PathBuf>,
    require_signed: bool,
}

/// What policy.json says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rules {
    default: Vec<Requirement>,
    /// By transport, by scope.
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

impl Policy {
    /// Reads the policy that the settings mean.
    ///
    /// # Errors
    /// `Error::Configuration` with every fault of the file; `Error::File` for a file that was named and is not there;
    /// `Error::Usage` for settings that contradict each other.
    pub fn load(settings: &Settings) -> Result<Self> {
        Self::load_in(settings, &Environment::from_process())
    }

    /// [`Self::load`] with another environment than the process's.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn load_in(settings: &Settings, environment: &Environment) -> Result<Self> {
        let require_signed = settings.require_signed;
        if settings.insecure_policy {
            if require_signed {
                let fault = "--insecure-policy accepts every image and --require-signed only signed ones; give one of them";
                return Err(Error::Usage(fault.to_owned()));
            }
            return Ok(Self::accepting(false));
        }
        let file = match &settings.policy {
            Some(path) => Some(path.clone()),
            None => {
                let home = environment.home.as_ref().map(|home| home.join(".config/containers/policy.json"));
                let system = environment.root.join("etc/containers/policy.json");
                home.into_iter().chain([system]).find(|path| is_there(path))
            }
        };
        let Some(path) = file else { return Ok(Self::accepting(require_signed)) };
        let text = read(&path, MAX_BYTES)?;
        let rules =
            parse::parse(&text).map_err(|fault| Error::Configuration { path: path.clone(), fault })?;
        Ok(Self { rules, origin: Some(path), require_signed })
    }

    /// Reads a policy from its text.
    ///
    /// # Errors
    /// `Error::Usage` with every fault.
    pub fn parse(text: &[u8], require_signed: bool) -> Result<Self> {
        let rules = parse::parse(text).map_err(|fault| Error::Usage(format!("policy: {fault}")))?;
        Ok(Self { rules, origin: None, require_signed })
    }

    fn accepting(require_signed: bool) -> Self {
        let default = vec![Requirement::InsecureAcceptAnything];
        Self { rules: Rules { default, transports: BTreeMap::new() }, origin: None, require_signed }
    }

    /// The requirements for an image: those of its narrowest scope.
    #[must_use]
    pub fn requirements(&self, name: &ImageName) -> &[Requirement] {
        let scopes = self.rules.transports.get(name.transport());
        let found = scopes
            .and_then(|scopes| scope::candidates(name).iter().find_map(|candidate| scopes.get(candidate)));
        found.unwrap_or(&self.rules.default)
    }

    /// Whether anything but a name is looked at: without it, a manifest need not be read before blobs move.
    #[must_use]
    pub fn reads_signatures(&self, name: &ImageName) -> bool {
        let asks = |requirement: &Requirement| {
            matches!(requirement, Requirement::SignedBy { .. } | Requirement::SigstoreSigned { .. })
        };
        self.requirements(name).iter().any(asks)
    }

    /// Accepts an image or says why not. Signatures of `manifest` are only fetched if a requirement needs them.
    ///
    /// Call it for each manifest that stands for an image, before anything else of it is read: for the chosen instance
    /// of an index, or for the index and for each instance where several are copied. The index's own signature says
    /// nothing for an instance that is copied alone, as with Skopeo.
    ///
    /// # Errors
    /// `Error::Refused`; the source's errors where signatures cannot be fetched; `Error::Configuration` where the
    /// policy's keys cannot be read.
    pub async fn check(&self, source: &dyn Source, manifest: &RawManifest) -> Result<()> {
        self.check_at(source, manifest, Timestamp::now()).await
    }

    /// [`Self::check`] at a time: keys and certificates expire.
    ///
    /// # Errors
    /// As for [`Self::check`].
    pub async fn check_at(&self, source: &dyn Source, manifest: &RawManifest, now: Timestamp) -> Result<()> {
        let image = Image::new(source, manifest, now);
        let mut signed = false;
        for requirement in self.requirements(source.name()) {
            match image.satisfies(requirement).await.map_err(|error| self.located(error))? {
                Ok(()) => signed |= !matches!(requirement, Requirement::InsecureAcceptAnything),
                Err(rejection) => return Err(Error::Refused(format!("Source image rejected: {rejection}"))),
            }
        }
        if self.require_signed && !signed {
            return Err(Error::Refused(format!(
                "Source image rejected: --require-signed was given, and the policy accepts {} without a signature",
                source.name()
            )));
        }
        Ok(())
    }

    /// Accepts content that nobody can have signed, by a transport that only has its default scope: the files in a tar that
    /// becomes an image (`tarball`). Or says why not.
    ///
    /// # Errors
    /// `Error::Refused`.
    pub fn check_unsigned(&self, transport: &str) -> Result<()> {
        let scopes = self.rules.transports.get(transport);
        let requirements = scopes.and_then(|scopes| scopes.get("")).unwrap_or(&self.rules.default);
        let accepts = |requirement: &Requirement| matches!(requirement, Requirement::InsecureAcceptAnything);
        if requirements.contains(&Requirement::Reject) {
            return Err(Error::Refused(format!(
                "Source image rejected: Running image {transport}: is rejected by policy."
            )));
        }
        if self.require_signed || !requirements.iter().all(accepts) {
            return Err(Error::Refused(format!(
                "Source image rejected: A signature was required, and {transport}: can have none"
            )));
        }
        Ok(())
    }

    /// An error about the policy's own content names its file.
    fn located(&self, error: Error) -> Error {
        match (error, &self.origin) {
            (Error::Usage(fault), Some(path)) => Error::Configuration { path: path.clone(), fault },
            (error, _) => error,
        }
    }
}
