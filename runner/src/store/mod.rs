//! Images and layers on disk.
//!
//! Nothing is a database: a layer, an object, a name is a file or folder that was renamed in whole. A lock (`flock` on
//! `store/lock`) is shared by those who add and use, and exclusive for those who sweep.

use std::path::PathBuf;

use berth_oci::Digest;
use jiff::Timestamp;

use crate::{
    error::{Result, RunnerError},
    folders::Folders,
    record::Desired,
};

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
