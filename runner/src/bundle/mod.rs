//! From a record to a runtime specification.

use std::path::Path;

use oci_spec::runtime::Spec;

use crate::{
    error::{Result, RunnerError},
    folders::Folders,
    record::Desired,
};

/// The specification of a container whose root is mounted at `root`. The files of `network::files` lie in
/// `folders.running(id)`.
///
/// # Errors
/// [`RunnerError::Usage`] for a user that the image does not know and the like (U15).
pub(crate) fn build(folders: &Folders, desired: &Desired, root: &Path) -> Result<Spec> {
    let _ = (folders, desired, root);
    Err(RunnerError::Unsupported("bundles are not built yet".into()))
}
