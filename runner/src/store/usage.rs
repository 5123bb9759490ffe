//! What images take on disk.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use super::{Store, gc::disk_of, images::entries, key::diff_id_of};
use crate::error::{Result, RunnerError, While};

/// What images take on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Images.
    pub(crate) images: usize,
    /// Those of them that a container is of.
    pub(crate) active: usize,
    /// Bytes on disk; what several images share once.
    pub(crate) bytes: u64,
    /// Bytes that would be free without the images that no container is of.
    pub(crate) reclaimable: u64,
}

impl Store {
    /// Counts what all images take.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let _hold = self.hold()?;
        let (mut layers, mut objects, mut blobs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut usage = Usage::default();
        for image in self.images()? {
            usage.images += 1;
            if self.users(&image.manifest)?.is_empty() {
                continue;
            }
            usage.active += 1;
            for layer in &image.layers {
                objects.extend(self.objects_of(&self.layer_folder(layer))?);
            }
            layers.extend(image.layers);
            blobs.extend([image.manifest, image.id]);
        }
        let mut count = |bytes: u64, used: bool| {
            usage.bytes += bytes;
            usage.reclaimable += if used { 0 } else { bytes };
        };
        let mut seen = BTreeSet::new();
        for path in entries(&self.folders.layers())? {
            let used = diff_id_of(&path).is_some_and(|layer| layers.contains(&layer));
            count(disk_of(&path, &mut seen)?, used);
        }
        let size = |path: &Path| {
            Ok::<_, RunnerError>(fs::symlink_metadata(path).doing("looking at", path)?.blocks() * 512)
        };
        for (path, key) in self.all_objects()? {
            count(size(&path)?, key.is_some_and(|key| objects.contains(&key)));
        }
        for (path, digest) in self.all_blobs()? {
            count(size(&path)?, digest.is_some_and(|digest| blobs.contains(&digest)));
        }
        Ok(usage)
    }
}

/// Bytes on disk of a folder, which may not be there.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn bytes_below(folder: &Path) -> Result<u64> {
    disk_of(folder, &mut BTreeSet::new())
}
