//! Folders that a layer only passes through: no entry of it describes them, and overlay would show them as that layer has
//! them, not as the one below that describes them.
//!
//! What the image makes of all its layers is found once, and kept beside the uppermost as one more layer on top of them
//! (`passed-<hash of all>`): folders alone, each as the right layer has it. Layers never change, so neither does that; it
//! goes with its layer, or in a sweep with the last image that has just these layers. A store of an earlier version gets
//! it with the next start of a container.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use berth_oci::{Digest, Hasher};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with, syncfs},
    io::Errno,
};

use super::{
    Store,
    changes::exported,
    images::entries,
    key::{TREE, diff_id_of},
    lower::{Lower, attribute, look},
    staging::{Staged, Staging},
};
use crate::error::{Result, RunnerError, While};
use crate::record::remove_tree;

/// Begins their name.
const PASSED: &str = "passed-";
/// Layers that the kernel puts on each other: one with so many has no room for another.
const MOST: usize = 500;

/// Folders that layers of an image only pass through.
#[derive(Debug)]
pub(super) enum Passed {
    /// There are none, or overlay shows them right as they are.
    None,
    /// They are a layer of their own, for the top.
    There(PathBuf),
    /// They have to be made for each container: the kernel takes no more layers.
    Beyond,
}

impl Store {
    /// Where they lie for these layers, lowest first.
    pub(super) fn passed_folder(&self, layers: &[Digest]) -> Option<PathBuf> {
        let mut hasher = Hasher::new(berth_oci::Algorithm::Sha256.into());
        for layer in layers {
            hasher.update(layer.to_string().as_bytes());
            hasher.update(b"\n");
        }
        let name = format!("{PASSED}{}", Digest::from_hasher(hasher).hex());
        layers.last().map(|top| self.layer_folder(top).join(name))
    }

    /// Those of these layers; found now, where that was not done before.
    pub(super) fn passed(&self, lower: &Lower) -> Result<Passed> {
        let implied = |path: &super::layer::PathBytes| !path.0.is_empty();
        if !lower.layers.iter().any(|(_, facts)| facts.implied.iter().any(implied)) {
            return Ok(Passed::None);
        }
        if lower.layers.len() >= MOST {
            return Ok(Passed::Beyond);
        }
        let Some(place) = &lower.passed else { return Ok(Passed::Beyond) };
        if look(place)?.is_none() {
            self.find_passed(lower, place)?;
        }
        let mut inside = fs::read_dir(place).doing("reading", place)?;
        Ok(if inside.next().is_some() { Passed::There(place.clone()) } else { Passed::None })
    }

    fn find_passed(&self, lower: &Lower, place: &Path) -> Result<()> {
        let name = format!("passed-{:032x}", rand::random::<u128>());
        let Staged::Ours(staging) = Staging::claim(self.staging(&name), None)? else {
            return Err(RunnerError::Conflict(format!("another has the name {name}: try again")));
        };
        let new = staging.path.join(TREE);
        fs::create_dir(&new).doing("making", &new)?;
        // As everything of a layer: whoever has its name sees all of it, whenever the machine stops.
        if fill(lower, &new)? {
            syncfs(&staging.folder).doing("writing to disk", &new)?;
        }
        match renameat_with(CWD, &new, CWD, place, RenameFlags::NOREPLACE) {
            // Another was faster: what it found is the same.
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error).doing("making", place),
        }
    }

    /// Removes those of images that are gone, whose uppermost layer is there for another.
    pub(super) fn sweep_passed(&self) -> Result<()> {
        let known: BTreeSet<PathBuf> =
            self.all_records()?.iter().filter_map(|record| self.passed_folder(&record.layers)).collect();
        for layer in entries(&self.folders.layers())? {
            if diff_id_of(&layer).is_none() {
                continue;
            }
            for path in entries(&layer)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with(PASSED) && !known.contains(&path) {
                    remove_tree(&path).doing("removing", &path)?;
                }
            }
        }
        Ok(())
    }
}

/// Makes them in a folder; whether there are any.
pub(super) fn fill(lower: &Lower, new: &Path) -> Result<bool> {
    let mut any = false;
    let implied: BTreeSet<PathBuf> = lower
        .layers
        .iter()
        .flat_map(|(_, facts)| facts.implied.iter().map(super::layer::PathBytes::path))
        .filter(|path| !path.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect();
    for path in implied {
        let Some(right) = lower.described(&path)? else { continue };
        any = true;
        // Those on the way are as the image has them.
        let ancestors: Vec<&Path> = path.ancestors().collect();
        for ancestor in ancestors.into_iter().rev().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
            let at = new.join(ancestor);
            if look(&at)?.is_none() {
                fs::create_dir(&at).doing("making", &at)?;
                let shown = lower.stack(ancestor)?;
                let of = if ancestor == path { Some(&right) } else { shown.first() };
                if let Some(of) = of {
                    copy_attributes(of, &at)?;
                }
            } else if ancestor == path {
                copy_attributes(&right, &at)?;
            }
        }
    }
    Ok(any)
}

/// Owner, mode, time and the attributes of the image.
pub(super) fn copy_attributes(from: &Path, to: &Path) -> Result<()> {
    let found = fs::symlink_metadata(from).doing("looking at", from)?;
    chown(to, Some(found.uid()), Some(found.gid())).doing("changing the owner of", to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(found.mode() & 0o7777))
        .doing("changing the mode of", to)?;
    for name in exported(from)? {
        if let Some(value) = attribute(from, &name)? {
            rustix::fs::lsetxattr(to, &name, &value, rustix::fs::XattrFlags::empty())
                .doing("setting attributes of", to)?;
        }
    }
    let time = found.modified().doing("looking at", from)?;
    fs::File::open(to).and_then(|folder| folder.set_modified(time)).doing("setting the time of", to)
}
