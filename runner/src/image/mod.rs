//! What is done to images. `pull` and `push` are copies of `berth_copier` into and out of the store.

use berth_oci::Platform;

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

/// The image of a name, brought here where it has to be.
///
/// # Errors
/// The copier's, or [`RunnerError::NotFound`] with [`PullPolicy::Never`]; [`RunnerError::Unsupported`] for an image of
/// another system or architecture, with both platforms.
pub(crate) fn ensure(
    store: &Store,
    name: &str,
    policy: PullPolicy,
    platform: Option<&Platform>,
) -> Result<Image> {
    let _ = (store, name, policy, platform);
    Err(RunnerError::Unsupported("pulls are not built yet".into()))
}
