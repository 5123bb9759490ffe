//! Roots of ordinary users' containers that have ids of their own.
//!
//! Only root makes id-mapped mounts. A user's container whose ids are others than the user's would find its image's files
//! to be nobody's; so it gets a copy of its image in which they belong to whom the image says, as podman makes one. The
//! copy lies in the container's folder and goes with it; it is the one lower layer, so what the container writes is told
//! from what was there as with any other.

use std::path::{Path, PathBuf};

use berth_runtime::{OverlayOptions, unmount};

use super::{
    Store,
    layer::Facts,
    lower::{Lower, look},
    root::{is_mounted, prepare_upper},
};
use crate::{
    error::{Result, RunnerError, While},
    record::{Desired, IdMap, Records, UserNamespace, files, remove_tree},
    rootless,
    unpack::OverlayNames,
    volume::{self, DiskIds},
};

/// Files of accounts are small; a larger one is no such.
const MOST: u64 = 1 << 20;

/// How the ids of an image become those on disk, where a container is not the user's own: none of its ids is the user.
fn shift(maps: &[IdMap]) -> Option<Vec<IdMap>> {
    let own = maps.iter().any(|map| map.host == 0);
    let turned = |map: &IdMap| IdMap { container: map.host, host: map.container, size: map.size };
    (!own).then(|| maps.iter().map(turned).collect())
}

impl Store {
    /// The ids of a container's copy; `None` for one that has none.
    fn shift_of(&self, desired: &Desired) -> Result<Option<DiskIds>> {
        if !rootless::is_inside() || desired.rootfs.is_some() {
            return Ok(None);
        }
        let maps = match &desired.isolation.user {
            UserNamespace::Private { uids, gids } => Some((uids.clone(), gids.clone())),
            UserNamespace::Container(id) => {
                match Records::new(&self.folders).find(id.as_str())?.isolation.user {
                    UserNamespace::Private { uids, gids } => Some((uids, gids)),
                    UserNamespace::Host | UserNamespace::Container(_) | UserNamespace::Path(_) => None,
                }
            }
            UserNamespace::Host | UserNamespace::Path(_) => None,
        };
        Ok(maps.and_then(|(uids, gids)| Some(DiskIds { uids: shift(&uids)?, gids: shift(&gids)? })))
    }

    /// Whether a container's root is a copy with other owners.
    ///
    /// # Errors
    /// Where the record of another container, whose ids it has, cannot be read.
    pub(crate) fn is_shifted(&self, desired: &Desired) -> Result<bool> {
        Ok(self.shift_of(desired)?.is_some())
    }

    fn copy_of(&self, desired: &Desired) -> PathBuf {
        self.folders.container(&desired.id).join("shifted")
    }

    /// What a container has below what it writes: its image, or the copy of that.
    pub(super) fn below(&self, desired: &Desired, lower: Lower) -> Result<Lower> {
        let copy = self.copy_of(desired);
        // Before its first start it has written nothing, and its image is what it would see.
        if self.shift_of(desired)?.is_none() || look(&copy)?.is_none() {
            return Ok(lower);
        }
        let facts = Facts {
            overlay: OverlayNames::User,
            size: 0,
            entries: 0,
            opaque: true,
            implied: Vec::new(),
            kept: Vec::new(),
        };
        Ok(Lower { layers: vec![(copy, facts)], passed: None })
    }

    /// Makes the copy, once. Done in a mount namespace of the caller's own.
    pub(super) fn make_copy(&self, desired: &Desired) -> Result<()> {
        let Some(ids) = self.shift_of(desired)? else { return Ok(()) };
        let copy = self.copy_of(desired);
        let new = copy.with_extension("new");
        // Of a start that was cut short.
        if look(&new)?.is_some() {
            remove_tree(&new).doing("removing", &new)?;
        }
        if look(&copy)?.is_some() {
            return Ok(());
        }
        let whole = self.folders.running(&desired.id).join("whole");
        let [tree, upper, work] = ["tree", "upper", "work"].map(|name| new.join(name));
        for folder in [&tree, &work, &whole] {
            files::private_folder(folder)?;
        }
        while is_mounted(&whole)? {
            unmount(&whole)?;
        }
        // As a container of the user's own ids would see it.
        let lower = self.lower_of(desired)?;
        let passed = self.passed(&lower)?;
        prepare_upper(&lower, &upper, &passed)?;
        self.mount(&lower, &passed, (&upper, &work), &whole, OverlayOptions::default())?;
        let copied = volume::whole(&whole, &tree, &ids);
        unmount(&whole)?;
        copied?;
        std::fs::remove_dir(&whole).doing("removing", &whole)?;
        std::fs::rename(&tree, &copy).doing("making", &copy)?;
        remove_tree(&new).doing("removing", &new)
    }

    /// The text of a file of a container's image, `path` relative to its root; `None` where there is none, or it is a
    /// link.
    ///
    /// # Errors
    /// [`RunnerError::Content`] for one that is too large.
    pub(crate) fn text_of(&self, desired: &Desired, path: &Path) -> Result<Option<String>> {
        let Some(found) = self.lower_of(desired)?.stack(path)?.into_iter().next() else { return Ok(None) };
        let Some(about) = look(&found)?.filter(std::fs::Metadata::is_file) else { return Ok(None) };
        if about.len() > MOST {
            return Err(RunnerError::Content(format!("/{} of the image is too large", path.display())));
        }
        let text = std::fs::read(&found).doing("reading", &found)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_with_the_users_own_id_needs_no_copy() {
        let map = |container, host, size| IdMap { container, host, size };
        assert_eq!(shift(&[map(0, 1, 1000), map(1000, 0, 1)]), None);
        assert_eq!(shift(&[map(0, 1025, 1024)]), Some(vec![map(1025, 0, 1024)]));
    }
}
