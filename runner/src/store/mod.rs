//! Images and layers on disk.
//!
//! Nothing is a database: a layer, an object, a name is a file or folder that was renamed in whole. A lock (`flock` on
//! `store/lock`) is shared by those who add and use, and exclusive for those who sweep.
//!
//! ```text
//! images/blobs/sha256/…   manifests and configurations
//! images/all/…            one file per image: layers, size, when it came
//! images/names/…          one file per name
//! layers/<diff id>/       tree (a lower layer of overlay), recipe (the rest of its tar), objects (which it uses),
//!                         layer.json, kept (files that a later entry of the same layer replaced), passed-… (folders
//!                         that layers of an image only pass through, as it shows them)
//! objects/ab/cdef…        files of 4 KiB and more, once across all layers, which have links to them
//! ```

mod changes;
mod check;
mod gc;
mod images;
mod key;
mod layer;
mod lock;
mod lower;
mod passed;
mod read;
mod root;
mod shifted;
mod size;
mod staging;
#[cfg(test)]
mod tests;
mod usage;

use std::{
    io::Read,
    sync::{Arc, OnceLock},
};

use berth_oci::Digest;
use jiff::Timestamp;

pub(crate) use changes::Change;
pub(crate) use layer::{Claim, LayerWriter, layer_error};
pub(crate) use lock::Hold;
pub(crate) use root::is_mounted;
pub(crate) use root::mapping;
pub(crate) use usage::bytes_below;

use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::files,
    unpack::OverlayNames,
};

/// What a removal freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    /// Images.
    pub(crate) images: usize,
    /// Layers that no other image has.
    pub(crate) layers: usize,
    /// Contents of large files that no other layer has.
    pub(crate) objects: usize,
    /// Bytes on disk.
    pub(crate) bytes: u64,
}

/// The store of one user.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folders: Folders,
    overlay: Arc<OnceLock<OverlayNames>>,
}

/// An image that is here, whole.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Digest of its manifest, as the registry that it came from serves it.
    pub(crate) manifest: Digest,
    /// Digest of its configuration: its id.
    pub(crate) id: Digest,
    /// Its names, in full (`host/repository:tag`); empty for one that lost them.
    pub(crate) names: Vec<String>,
    /// Digests of the tars of its layers, lowest first.
    pub(crate) layers: Vec<Digest>,
    /// Bytes of its layers, unpacked, those shared with others included.
    pub(crate) size: u64,
    /// When it was brought here.
    pub(crate) pulled: Timestamp,
}

impl Store {
    /// Opens (and makes, mode 0700) the store.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn open(folders: &Folders) -> Result<Self> {
        files::private_folder(&folders.store)?;
        Ok(Self { folders: folders.clone(), overlay: Arc::default() })
    }

    /// Where it lies.
    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Whose marks layers have: found out once, by trying.
    fn overlay(&self) -> Result<OverlayNames> {
        if let Some(overlay) = self.overlay.get() {
            return Ok(*overlay);
        }
        let trial = tempfile::Builder::new().prefix(".trial-").tempfile_in(&self.folders.store);
        let trial = trial.doing("writing into", &self.folders.store)?;
        let flags = rustix::fs::XattrFlags::CREATE;
        let overlay = match rustix::fs::fsetxattr(&trial, OverlayNames::Trusted.opaque(), b"y", flags) {
            Ok(()) => OverlayNames::Trusted,
            // Only the machine's root may.
            Err(rustix::io::Errno::PERM) => OverlayNames::User,
            Err(error) => {
                return Err(error)
                    .doing("setting an attribute (does its file system keep any?) in", &self.folders.store);
            }
        };
        Ok(*self.overlay.get_or_init(|| overlay))
    }

    /// Keeps everything from being swept until the answer is dropped.
    ///
    /// # Errors
    /// Where the lock cannot be taken.
    pub(crate) fn hold(&self) -> Result<Hold> {
        Hold::take(&self.folders.store)
    }

    /// Begins a layer of this digest (of its tar, uncompressed), or says that it is here, or that another process
    /// unpacks it at this moment. Who holds a writer and waits for another's can wait for ever, so ask
    /// [`Self::has_layer`] where several layers are only looked for.
    ///
    /// # Errors
    /// Where staging cannot be made.
    pub(crate) fn begin_layer(&self, diff_id: &Digest) -> Result<Claim> {
        LayerWriter::claim(self, Some(diff_id))
    }

    /// Begins a layer whose digest (SHA-256) comes out at its end.
    ///
    /// # Errors
    /// Where staging cannot be made.
    pub(crate) fn begin_unknown_layer(&self) -> Result<LayerWriter> {
        match LayerWriter::claim(self, None)? {
            Claim::New(writer) => Ok(*writer),
            Claim::Present | Claim::Busy(_) => {
                Err(RunnerError::Conflict("another took this layer's place".into()))
            }
        }
    }

    /// The tar of a layer, byte for byte as it came. The last read fails where it is not what it was.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`] where the layer is not here.
    pub(crate) fn layer_tar(&self, diff_id: &Digest) -> Result<impl Read + Send + use<>> {
        read::LayerTar::open(self, diff_id, Some(self.hold()?))
    }
}
