//! What a container sees of its image: layers on each other, as overlay merges them.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use berth_oci::Digest;
use rustix::io::Errno;

use super::{Store, key::TREE, layer::Facts};
use crate::{
    error::{Result, RunnerError, While},
    unpack::OverlayNames,
};

/// The layers of an image, the uppermost first.
#[derive(Debug)]
pub(super) struct Lower {
    pub(super) layers: Vec<(PathBuf, Facts)>,
    /// Where the folders lie, once they were found, that layers only pass through.
    pub(super) passed: Option<PathBuf>,
}

/// Whether what is there hides an entry of lower layers.
pub(super) fn is_whiteout(found: &fs::Metadata) -> bool {
    found.mode() & 0o170_000 == 0o020_000 && found.rdev() == 0
}

/// `None` where there is nothing.
pub(super) fn look(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).doing("looking at", path),
    }
}

/// An attribute of a file, which may be a link.
pub(super) fn attribute(path: &Path, name: &std::ffi::CStr) -> Result<Option<Vec<u8>>> {
    let mut value = vec![0; 65_536];
    match rustix::fs::lgetxattr(path, name, value.as_mut_slice()) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error).doing("reading attributes of", path),
    }
}

/// Whether a folder hides what lower layers have under it.
pub(super) fn is_opaque(path: &Path, overlay: OverlayNames) -> Result<bool> {
    Ok(attribute(path, overlay.opaque())?.is_some_and(|value| value == b"y"))
}

impl Lower {
    /// The layers of an image, lowest first as its configuration names them.
    pub(super) fn open(store: &Store, layers: &[Digest]) -> Result<Self> {
        let mut found = Vec::new();
        let mut known = BTreeSet::new();
        // Overlay refuses a folder that it has already. The uppermost hides all that the same one says further below.
        for diff_id in layers.iter().rev().filter(|diff_id| known.insert(*diff_id)) {
            let facts = store.facts(diff_id)?.ok_or_else(|| {
                RunnerError::NotFound(format!("layer {diff_id} is not here: pull its image again"))
            })?;
            let opaque = facts.opaque;
            found.push((store.layer_folder(diff_id).join(TREE), facts));
            if opaque {
                break;
            }
        }
        Ok(Self { layers: found, passed: store.passed_folder(layers) })
    }

    /// Whose marks the layers have. Layers of both cannot be mounted together.
    pub(super) fn overlay(&self) -> Result<OverlayNames> {
        let mut names = self.layers.iter().map(|(_, facts)| facts.overlay);
        let first = names.next().unwrap_or(OverlayNames::Trusted);
        if names.any(|other| other != first) {
            return Err(RunnerError::Unsupported(
                "its layers were unpacked by root and by a user: remove the image and pull it again".into(),
            ));
        }
        Ok(first)
    }

    /// The files that make up an entry, the uppermost first: several for a folder, one for anything else, none where
    /// there is no such entry.
    pub(super) fn stack(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let mut stack: Vec<(PathBuf, OverlayNames)> =
            self.layers.iter().map(|(tree, facts)| (tree.clone(), facts.overlay)).collect();
        for component in path.iter() {
            let mut next = Vec::new();
            for (folder, overlay) in stack {
                let path = folder.join(component);
                let Some(found) = look(&path)? else { continue };
                if is_whiteout(&found) || (!found.is_dir() && !next.is_empty()) {
                    break;
                }
                let last = !found.is_dir() || is_opaque(&path, overlay)?;
                next.push((path, overlay));
                if last {
                    break;
                }
            }
            stack = next;
        }
        Ok(stack.into_iter().map(|(path, _)| path).collect())
    }

    /// What an entry is.
    pub(super) fn look(&self, path: &Path) -> Result<Option<fs::Metadata>> {
        let Some(found) = self.stack(path)?.first().map(|top| look(top)).transpose()?.flatten() else {
            return Ok(None);
        };
        match self.described(path)? {
            Some(right) if found.is_dir() => look(&right),
            _ => Ok(Some(found)),
        }
    }

    /// Names in a folder.
    pub(super) fn names(&self, path: &Path) -> Result<Vec<OsString>> {
        let mut names = std::collections::BTreeSet::new();
        for folder in self.stack(path)? {
            for entry in super::images::entries(&folder)? {
                names.extend(entry.file_name().map(ToOwned::to_owned));
            }
        }
        let mut there = Vec::new();
        for name in names {
            if self.look(&path.join(&name))?.is_some() {
                there.push(name);
            }
        }
        Ok(there)
    }

    /// The folder of a path as the uppermost layer has it that describes it, where a layer above that one only passes
    /// through: overlay would show the folder of the latter.
    pub(super) fn described(&self, path: &Path) -> Result<Option<PathBuf>> {
        // In the order of paths, as they were written down.
        let implies =
            |facts: &Facts| facts.implied.binary_search_by(|implied| implied.path().cmp(path)).is_ok();
        if !self.layers.iter().any(|(_, facts)| implies(facts)) {
            return Ok(None);
        }
        let mut passed = false;
        for (tree, facts) in &self.layers {
            let ancestors: Vec<&Path> = path.ancestors().skip(1).collect();
            let mut opaque = false;
            // From the top: a link in the layer hides what lies below it, and the machine's own files lie behind it.
            for ancestor in ancestors.into_iter().rev().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
                let at = tree.join(ancestor);
                match look(&at)? {
                    Some(found) if !found.is_dir() => return Ok(None),
                    Some(_) => opaque |= is_opaque(&at, facts.overlay)?,
                    None => break,
                }
            }
            if opaque && look(&tree.join(path))?.is_none() {
                return Ok(None);
            }
            let at = tree.join(path);
            let Some(found) = look(&at)? else { continue };
            if !found.is_dir() {
                return Ok(None);
            }
            if !implies(facts) {
                return Ok(passed.then_some(at));
            }
            passed = true;
            if is_opaque(&at, facts.overlay)? {
                return Ok(None);
            }
        }
        Ok(None)
    }
}
