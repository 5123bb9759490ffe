//! What nobody uses any more goes: mark, then sweep, while nobody adds.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use berth_oci::{Digest, Manifest};
use rustix::fs::{FlockOperation, flock};

use super::{
    Freed, Store,
    images::{entries, remove_file},
    key::{OBJECTS, STAGING, diff_id_of},
    lock::Sweep,
};
use crate::{
    error::{Result, RunnerError, While},
    record::{Gone, Records, is_gone},
    unpack::{LARGE, ObjectKey},
};

/// What is in use.
#[derive(Debug, Default)]
pub(super) struct Marked {
    pub(super) blobs: BTreeSet<Digest>,
    pub(super) layers: BTreeSet<Digest>,
    pub(super) objects: BTreeSet<ObjectKey>,
}

/// Bytes on disk of a tree: files with several names once, objects not at all, which are counted by themselves.
pub(super) fn disk_of(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> Result<u64> {
    disk(path, seen, |found| found.nlink() > 1)
}

/// The same for a layer whose objects may be gone before it.
fn disk_of_layer(path: &Path, seen: &mut BTreeSet<(u64, u64)>) -> Result<u64> {
    disk(path, seen, |_| true)
}

fn disk(
    path: &Path,
    seen: &mut BTreeSet<(u64, u64)>,
    may_be_object: fn(&fs::Metadata) -> bool,
) -> Result<u64> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).doing("looking at", path),
    };
    if found.is_dir() {
        let inside =
            entries(path)?.iter().map(|entry| disk(entry, seen, may_be_object)).sum::<Result<u64>>()?;
        return Ok(found.blocks() * 512 + inside);
    }
    let several = found.nlink() > 1;
    let object = found.is_file() && found.len() >= LARGE && may_be_object(&found);
    if object || (several && !seen.insert((found.dev(), found.ino()))) {
        Ok(0)
    } else {
        Ok(found.blocks() * 512)
    }
}

impl Store {
    /// Removes an image with its names, and the layers and objects that nobody else uses. Not while a [`super::Hold`]
    /// of the caller's lives.
    ///
    /// # Errors
    /// [`RunnerError::Conflict`] where containers use it, with their names.
    pub(crate) fn remove_image(&self, manifest: &Digest) -> Result<Freed> {
        let sweep = Sweep::take(&self.folders.store)?;
        let users = self.users(manifest)?;
        if !users.is_empty() {
            return Err(RunnerError::Conflict(format!(
                "image {manifest} is used by {}: remove {} first, with `berth-runner rm`",
                users.join(", "),
                if users.len() == 1 { "that container" } else { "those containers" }
            )));
        }
        let images = usize::from(self.forget(manifest)?);
        let freed = self.sweep(sweep)?;
        Ok(Freed { images, ..freed })
    }

    /// Removes images without a name, or with `all` those that no container uses, and everything that nobody uses.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub(crate) fn prune_images(&self, all: bool) -> Result<(Vec<Digest>, Freed)> {
        let sweep = Sweep::take(&self.folders.store)?;
        let mut removed = Vec::new();
        for image in self.images()? {
            if (all || image.names.is_empty()) && self.users(&image.manifest)?.is_empty() {
                self.forget(&image.manifest)?;
                removed.push(image.manifest);
            }
        }
        let freed = self.sweep(sweep)?;
        Ok((removed.clone(), Freed { images: removed.len(), ..freed }))
    }

    /// Removes what nobody uses, unless somebody adds at this moment: then the next who sweeps does.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub(crate) fn sweep_if_alone(&self) -> Result<()> {
        match Sweep::try_take(&self.folders.store)? {
            Some(sweep) => self.sweep(sweep).map(drop),
            None => Ok(()),
        }
    }

    /// Names of the containers that are of this image.
    pub(crate) fn users(&self, manifest: &Digest) -> Result<Vec<String>> {
        let (containers, _damaged) = Records::new(&self.folders).all()?;
        let of_it = |desired: &crate::record::Desired| {
            desired.image.as_ref().is_some_and(|image| image.manifest == *manifest)
        };
        Ok(containers.into_iter().filter(of_it).map(|desired| desired.name).collect())
    }

    /// The record first: names that lead nowhere are no image.
    pub(super) fn forget(&self, manifest: &Digest) -> Result<bool> {
        let there = remove_file(&self.record_file(manifest))?;
        for name in self.all_names()? {
            if name.manifest == *manifest {
                self.untag(&name.name)?;
            }
        }
        Ok(there)
    }

    pub(super) fn mark(&self) -> Result<Marked> {
        let mut marked = Marked::default();
        for record in self.all_records()? {
            // Whatever else the manifest names is of the image as well.
            if let Ok(Ok(manifest)) =
                self.blob(&record.manifest).map(|text| Manifest::parse(text.into(), None))
            {
                marked.blobs.extend(manifest.config.map(|config| config.digest));
            }
            marked.blobs.extend([record.manifest, record.id]);
            marked.layers.extend(record.layers);
        }
        for layer in &marked.layers {
            marked.objects.extend(self.objects_of(&self.layer_folder(layer))?);
        }
        Ok(marked)
    }

    /// The objects that a layer uses.
    pub(super) fn objects_of(&self, layer: &Path) -> Result<Vec<ObjectKey>> {
        let path = layer.join(OBJECTS);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).doing("reading", path),
        };
        let (keys, rest) = bytes.as_chunks::<{ ObjectKey::LENGTH }>();
        if !rest.is_empty() {
            return Err(RunnerError::Content(format!(
                "{} is damaged: `berth-runner check --repair` removes the layer",
                path.display()
            )));
        }
        Ok(keys.iter().map(ObjectKey::read).collect())
    }

    /// Removes everything that is not marked, staging that nobody fills included. Layers are deleted when the lock is
    /// free again.
    pub(super) fn sweep(&self, sweep: Sweep) -> Result<Freed> {
        let marked = self.mark()?;
        let mut freed = Freed::default();
        let mut gone = Vec::new();
        let mut seen = BTreeSet::new();
        for path in entries(&self.folders.layers())? {
            let used = diff_id_of(&path).is_some_and(|diff_id| marked.layers.contains(&diff_id));
            if used || is_held(&path)? {
                continue;
            }
            freed.layers += usize::from(diff_id_of(&path).is_some());
            gone.extend(rename_layer(&path)?);
        }
        for (path, key) in self.all_objects()? {
            if !key.is_some_and(|key| marked.objects.contains(&key)) {
                let found = fs::symlink_metadata(&path).doing("looking at", &path)?;
                freed.bytes += found.blocks() * 512;
                freed.objects += usize::from(key.is_some());
                remove_file(&path)?;
            }
        }
        for (path, digest) in self.all_blobs()? {
            if !digest.is_some_and(|digest| marked.blobs.contains(&digest)) {
                freed.bytes += disk_of(&path, &mut seen)?;
                remove_file(&path)?;
            }
        }
        self.sweep_names(&mut freed)?;
        self.sweep_passed()?;
        drop(sweep);
        delete_layers(gone, &mut freed)?;
        Ok(freed)
    }

    /// Names whose image is gone, and files that were never renamed to their names.
    fn sweep_names(&self, freed: &mut Freed) -> Result<()> {
        for path in self.leftover_names()? {
            freed.bytes += disk_of(&path, &mut BTreeSet::new())?;
            remove_file(&path)?;
        }
        Ok(())
    }

    pub(super) fn leftover_names(&self) -> Result<Vec<PathBuf>> {
        let known: BTreeSet<Digest> = self.all_records()?.into_iter().map(|record| record.manifest).collect();
        let mut leftover = Vec::new();
        for name in self.all_names()? {
            if !known.contains(&name.manifest) {
                leftover.push(self.name_file(&name.name));
            }
        }
        for folder in [self.names(), self.records()] {
            let unfinished = |path: &PathBuf| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".new-"))
            };
            leftover.extend(entries(&folder)?.into_iter().filter(unfinished));
        }
        Ok(leftover)
    }

    /// All files among the objects; without a key, those that are none.
    pub(super) fn all_objects(&self) -> Result<Vec<(PathBuf, Option<ObjectKey>)>> {
        let mut found = Vec::new();
        for folder in entries(&self.folders.objects())? {
            let first =
                folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            for path in entries(&folder)? {
                let name =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                found.push((path, ObjectKey::of_path(&first, &name)));
            }
        }
        Ok(found)
    }

    /// All files among the blobs; without a digest, those that are none.
    pub(super) fn all_blobs(&self) -> Result<Vec<(PathBuf, Option<Digest>)>> {
        let mut found = Vec::new();
        for folder in entries(&self.folders.images().join("blobs"))? {
            let algorithm =
                folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            for path in entries(&folder)? {
                let hex =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let digest = format!("{algorithm}:{hex}").parse().ok();
                found.push((path, digest));
            }
        }
        Ok(found)
    }
}

/// Whether somebody fills this staging folder at this moment, or deletes what was a layer.
pub(super) fn is_held(path: &Path) -> Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if !name.starts_with(STAGING) && !is_gone(path) {
        return Ok(false);
    }
    let folder = match fs::File::open(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error).doing("opening", path),
    };
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error).doing("locking", path),
    }
}

/// Takes a layer's name away: nobody sees half of it.
pub(super) fn rename_layer(path: &Path) -> Result<Option<Gone>> {
    if !fs::symlink_metadata(path).doing("looking at", path)?.is_dir() {
        return remove_file(path).map(|_| None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with('.') { Gone::left(path) } else { Gone::rename(path) }
}

/// Deletes layers whose names were taken away, once nobody waits for the lock.
pub(super) fn delete_layers(gone: Vec<Gone>, freed: &mut Freed) -> Result<()> {
    let mut seen = BTreeSet::new();
    for layer in gone {
        freed.bytes += disk_of_layer(layer.path(), &mut seen)?;
        layer.delete()?;
    }
    Ok(())
}
