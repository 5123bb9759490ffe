//! A path of the machine put onto an object that was found before.

use std::{os::fd::BorrowedFd, path::Path};

use super::{options::Attributes, resolve::Descriptors, tree::Tree};
use crate::{During, RuntimeError};

/// Puts a copy of what is mounted at `source`, a path of the caller's own view whose links are followed, onto the file
/// or folder that `place` is of: where that lies was decided when it was opened, and no link leads elsewhere any more.
/// The caller has a mount namespace of its own.
///
/// # Errors
/// [`RuntimeError::Step`]: the source is not there, or one is a file and the other a folder.
pub fn bind_onto(source: &Path, place: BorrowedFd<'_>, read_only: bool) -> Result<(), RuntimeError> {
    let step = || format!("mounting {}", source.display());
    let descriptors = Descriptors::open().during(step)?;
    let tree = Tree::of_path(source, true).during(step)?;
    if read_only {
        tree.change(Attributes::READ_ONLY, true).during(step)?;
    }
    tree.attach(place, &descriptors).during(step)
}
