//! Images and layers on disk.
//!
//! Nothing is a database: a layer, an object, a name is a file or folder that was renamed in whole. A lock (`flock` on
//! `store/lock`) is shared by those who add and use, and exclusive for those who sweep.

mod layer;
mod size;

use std::{io::Read, path::PathBuf};

use berth_oci::Digest;
use jiff::Timestamp;

pub(crate) use layer::{Claim, LayerWriter, layer_error};

use crate::{
    error::{Result, RunnerError},
    folders::Folders,
    record::Desired,
};

/// While one of these lives, nothing is swept: what was added and is not yet part of an image stays. Taken by whoever
/// adds an image, for the whole of it, and by who makes a container of one, until its record is written.
#[derive(Debug)]
pub(crate) struct Hold {}

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

fn not_built<T>() -> Result<T> {
    Err(RunnerError::Unsupported("the store is not built yet".into()))
}

impl Store {
    /// Opens (and makes, mode 0700) the store.
    ///
    /// # Errors
    /// Where it cannot be made, or is of a later version than this program knows.
    pub(crate) fn open(folders: &Folders) -> Result<Self> {
        Ok(Self { folders: folders.clone() })
    }

    /// Where it lies.
    pub(crate) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// The image of a name (in full or familiar), of an id or the beginning of one, or of a manifest's digest.
    ///
    /// # Errors
    /// [`RunnerError::Usage`] where several ids begin so.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Image>> {
        let _ = name;
        not_built()
    }

    /// All, newest first.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub(crate) fn images(&self) -> Result<Vec<Image>> {
        not_built()
    }

    /// Keeps everything from being swept until the answer is dropped.
    ///
    /// # Errors
    /// Where the lock cannot be taken.
    pub(crate) fn hold(&self) -> Result<Hold> {
        not_built()
    }

    /// Begins a layer of this digest (of its tar, uncompressed), or says that it is here. Where another process
    /// unpacks it at this moment, waits for that one.
    ///
    /// # Errors
    /// Where staging cannot be made.
    pub(crate) fn begin_layer(&self, diff_id: &Digest) -> Result<Claim> {
        let _ = diff_id;
        not_built()
    }

    /// Begins a layer whose digest comes out at its end.
    ///
    /// # Errors
    /// Where staging cannot be made.
    pub(crate) fn begin_unknown_layer(&self) -> Result<LayerWriter> {
        not_built()
    }

    /// The tar of a layer, byte for byte as it came. The last read fails where it is not what it was.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`] where the layer is not here.
    pub(crate) fn layer_tar(&self, diff_id: &Digest) -> Result<impl Read + Send + use<>> {
        let _ = diff_id;
        not_built::<std::io::Empty>()
    }

    /// Keeps a manifest or configuration, under its SHA-256.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn put_blob(&self, content: &[u8]) -> Result<Digest> {
        let _ = content;
        not_built()
    }

    /// Makes an image of what was put: its manifest, the configuration that this names, and the layers that the
    /// configuration names are all here. The names (in full) leave the images that had them.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`] where a part is missing.
    pub(crate) fn add_image(&self, manifest: &Digest, names: &[String]) -> Result<Image> {
        let _ = (manifest, names);
        not_built()
    }

    /// Takes a name (in full) off its image, which stays, without names if this was its last; says whether there was one.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub(crate) fn untag(&self, name: &str) -> Result<bool> {
        let _ = name;
        not_built()
    }

    /// Removes an image with its names, and the layers and objects that nobody else uses. Not while a [`Hold`] of the
    /// caller's lives.
    ///
    /// # Errors
    /// [`RunnerError::Conflict`] where containers use it, with their names.
    pub(crate) fn remove_image(&self, manifest: &Digest) -> Result<Freed> {
        let _ = manifest;
        not_built()
    }

    /// The bytes of a manifest or configuration, checked against their digest.
    ///
    /// # Errors
    /// [`RunnerError::Content`] where they are not what they were.
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let _ = digest;
        not_built()
    }

    /// Mounts a container's root (layers, then its own `upper`) at `running/root` and says where that is. Done in the
    /// mount namespace of the caller: the supervisor's own, so that it goes with it. Idempotent.
    ///
    /// # Errors
    /// Where a layer is missing or the kernel cannot do it.
    pub(crate) fn mount_root(&self, desired: &Desired) -> Result<PathBuf> {
        let _ = desired;
        not_built()
    }

    /// Takes it away; safe to repeat.
    ///
    /// # Errors
    /// Where it is busy.
    pub(crate) fn unmount_root(&self, desired: &Desired) -> Result<()> {
        let _ = desired;
        not_built()
    }
}
