//! What is done to images. `pull` and `push` are copies of `berth_copier` into and out of the store.

mod access;
pub(crate) mod changes;
pub(crate) mod commit;
pub(crate) mod config;
mod copied;
pub(crate) mod import;
pub(crate) mod load;
pub(crate) mod make;
pub(crate) mod name;
mod progress;
mod pull;
mod push;
pub(crate) mod remove;
mod runtime;
pub(crate) mod save;
mod sink;
mod source;
pub(crate) mod tell;

use berth_copier::config::Registries;

pub(crate) use access::Access;
pub(crate) use progress::Told;
pub(crate) use pull::{Pull, is_refused, sweep};
pub(crate) use push::{Push, options as push_options};
pub(crate) use runtime::block_on;

use crate::{
    error::{Result, RunnerError},
    store::{Image, Store},
};

/// When an image is asked for at its registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    /// Where it is not here.
    #[default]
    Missing,
    /// Each time.
    Always,
    /// Never.
    Never,
    /// Where the registry has another one; one that cannot be asked is no failure.
    Newer,
}

impl std::str::FromStr for PullPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "missing" | "ifmissing" | "ifnotpresent" | "false" | "" => Ok(Self::Missing),
            "always" | "true" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            "newer" | "ifnewer" => Ok(Self::Newer),
            _ => Err(format!("{text:?} is none of always, missing, never, newer")),
        }
    }
}

/// The image of a name, brought here where it has to be. One that is here and may stay so is found without a thread.
///
/// # Errors
/// The copier's, or [`RunnerError::NotFound`] with [`PullPolicy::Never`]; [`RunnerError::Unsupported`] for an image of
/// another system or architecture, with both platforms.
pub(crate) fn ensure(by: &Pull<'_>, name: &str, policy: PullPolicy) -> Result<Image> {
    let Pull { store, access, platform, told } = by;
    let pull = || by.pull(name);
    let here = if name::has_transport(name) { None } else { find(store, name, access)? };
    match (policy, here) {
        (PullPolicy::Never, None) => Err(RunnerError::NotFound(format!(
            "{name} is not here, and --pull=never was given: `berth-runner pull {name}` brings it"
        ))),
        (PullPolicy::Missing | PullPolicy::Never, Some(image)) => {
            match config::check_image(store, name, &image, *platform) {
                // The name has another image for another platform.
                Err(RunnerError::Unsupported(_)) if platform.is_some() && policy == PullPolicy::Missing => {
                    pull()
                }
                checked => checked.map(|()| image),
            }
        }
        (PullPolicy::Missing | PullPolicy::Always | PullPolicy::Newer, None) => pull(),
        // What has no name here is not in any registry.
        (PullPolicy::Always | PullPolicy::Newer, Some(image)) if is_id(name, &image) => Ok(image),
        (PullPolicy::Always, Some(_)) => pull(),
        (PullPolicy::Newer, Some(image)) => match pull() {
            Err(RunnerError::Copier(error)) if error.exit_code() != 5 && error.exit_code() != 4 => {
                told.warning(&format!("{error}; the image that is here is taken"));
                Ok(image)
            }
            pulled => pulled,
        },
    }
}

/// The image of a name that is here, by the names that a short one could mean as well.
///
/// # Errors
/// As [`Store::find`]; where registries.conf cannot be read.
pub(crate) fn find(store: &Store, text: &str, access: &Access) -> Result<Option<Image>> {
    if let Some(image) = store.find(text)? {
        return Ok(Some(image));
    }
    if text.parse::<berth_oci::Reference>().is_err() {
        return Ok(None);
    }
    let registries = Registries::load(&access.settings(None, true))?;
    if let Ok(name::Named::Registry(candidates)) = name::read(text, &registries) {
        for reference in candidates {
            if let Some(image) = store.find(&name::full(&reference))? {
                return Ok(Some(image));
            }
        }
    }
    Ok(None)
}

/// The image of a name, or an error that says how to get it.
///
/// # Errors
/// [`RunnerError::NotFound`]; as [`find`].
pub(crate) fn here(store: &Store, text: &str) -> Result<Image> {
    find(store, text, &Access::default())?.ok_or_else(|| {
        RunnerError::NotFound(format!("no image {text}: `berth-runner images` lists them, `pull` brings one"))
    })
}

/// The name of the image that a text meant; `None` for an id.
pub(crate) fn name_of(text: &str, image: &Image) -> Option<String> {
    remove::named(text, image).ok()
}

fn is_id(text: &str, image: &Image) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    !hex.is_empty() && image.id.hex().starts_with(hex)
}
