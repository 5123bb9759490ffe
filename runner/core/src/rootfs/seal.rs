//! Masked paths, read-only paths and the root's own last changes.

use std::{
    cell::Cell,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    filesystem::{self, Refusal},
    inside::Inside,
    options::{Attributes, Options},
    plan::Label,
    resolve::{self, Kind, Links},
    tree::Tree,
};
use crate::{During, RuntimeError};

/// Covers files and folders. The first cover is the mount itself, the further ones are copies of it where it is
/// attached (a detached mount can be copied only since Linux 6.15).
#[derive(Debug)]
pub(super) struct Cover {
    tree: Tree,
    used: Cell<bool>,
}

impl From<Tree> for Cover {
    fn from(tree: Tree) -> Self {
        Self { tree, used: Cell::new(false) }
    }
}

impl Cover {
    /// An empty folder that stays so.
    fn folder(label: &Label) -> Result<Self, RuntimeError> {
        let words =
            ["ro", "nosuid", "nodev", "noexec", "mode=755", "nr_blocks=1", "nr_inodes=1"].map(str::to_owned);
        let mut options = Options::parse(&words);
        options.label(label.as_ref());
        filesystem::detached("tmpfs", "tmpfs", &options, options.attributes)
            .map(Self::from)
            .map_err(Refusal::into_error)
            .during(|| "making an empty folder to mask others".into())
    }

    fn onto(&self, inside: &Inside, place: std::os::fd::BorrowedFd<'_>) -> rustix::io::Result<()> {
        if self.used.replace(true) {
            Tree::of(self.tree.as_fd(), false)?.attach(place, inside.descriptors())
        } else {
            self.tree.attach(place, inside.descriptors())
        }
    }
}

/// The place of a path that may be missing: there is nothing to protect then.
fn place(
    inside: &Inside,
    path: &Path,
    step: impl Fn() -> String,
) -> Result<Option<std::os::fd::OwnedFd>, RuntimeError> {
    match resolve::existing(inside.root(), path, Links::Followed) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        answer => answer.map(Some).during(step),
    }
}

/// Nothing of these can be read: files are `/dev/null`, folders are empty.
pub(super) fn mask(
    inside: &Inside,
    null: &Cover,
    label: &Label,
    paths: &[PathBuf],
) -> Result<(), RuntimeError> {
    let mut folder = None;
    for (index, path) in paths.iter().enumerate() {
        let step = || format!("linux.maskedPaths[{index}]: masking {}", path.display());
        let Some(place) = place(inside, path, step)? else { continue };
        match Kind::of(place.as_fd()).during(step)? {
            Kind::File => null.onto(inside, place.as_fd()).during(step)?,
            Kind::Directory => {
                let cover = match &folder {
                    Some(cover) => cover,
                    None => folder.insert(Cover::folder(label)?),
                };
                cover.onto(inside, place.as_fd()).during(step)?;
            }
        }
    }
    Ok(())
}

/// Nothing of these, or below them, can be written.
pub(super) fn read_only(inside: &Inside, paths: &[PathBuf]) -> Result<(), RuntimeError> {
    for (index, path) in paths.iter().enumerate() {
        let step = || format!("linux.readonlyPaths[{index}]: making {} read-only", path.display());
        let Some(place) = place(inside, path, step)? else { continue };
        let tree = Tree::of(place.as_fd(), true).during(step)?;
        match tree.change(Attributes::READ_ONLY, true) {
            // Before Linux 5.12 what is mounted below stays as it is, as in other runtimes there.
            Err(Errno::NOSYS) => tree.change(Attributes::READ_ONLY, false).during(step)?,
            answer => answer.during(step)?,
        }
        tree.attach(place.as_fd(), inside.descriptors()).during(step)?;
    }
    Ok(())
}
