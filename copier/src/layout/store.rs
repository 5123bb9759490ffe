//! Where the files of a layout lie: in a folder, or in a tar file that is read in place.

use std::path::Path;

use berth_oci::{Descriptor, Digest, MediaType, manifest::MAX_MANIFEST_BYTES};
use bytes::Bytes;

use super::{BLOBS, INDEX_FILE, LAYOUT_FILE};
use crate::{
    Content, Error, RawManifest, Result,
    archive::TarIndex,
    disk::{FileContent, Folder, Opener, blocking, manifest_of, read_manifest},
};

/// A layout's files.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// In a folder; the blobs may lie in one that several layouts share.
    Folder {
        /// The layout.
        root: Folder,
        /// The folder with a folder per algorithm.
        blobs: Option<Folder>,
    },
    /// In a tar file.
    Archive(TarIndex),
}

impl Store {
    /// Opens a layout's folder.
    pub(crate) async fn folder(path: &Path, shared: Option<&Path>) -> Result<Self> {
        let (path, shared) = (path.to_owned(), shared.map(Path::to_owned));
        blocking(move || {
            let Some(root) = Folder::open(&path)? else {
                return Err(no_file(&path.join(INDEX_FILE)));
            };
            let blobs = match shared {
                Some(shared) => Folder::open(&shared)?,
                None => root.enter(BLOBS)?,
            };
            Ok(Self::Folder { root, blobs })
        })
        .await
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Folder { root, .. } => root.path().display().to_string(),
            Self::Archive(index) => index.path().display().to_string(),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        match self {
            Self::Folder { root, .. } => read_manifest(root, name),
            Self::Archive(index) => index.read_file(name, MAX_MANIFEST_BYTES as u64),
        }
    }

    /// Reads `index.json`, once `oci-layout` (where it is there) does not say that this is something else.
    pub(crate) fn read_index(&self) -> Result<Bytes> {
        if let Some(layout) = self.read(LAYOUT_FILE)? {
            check_version(&layout, &self.place())?;
        }
        self.read(INDEX_FILE)?.ok_or_else(|| no_file(&Path::new(&self.place()).join(INDEX_FILE)))
    }

    /// Reads a manifest that lies among the blobs.
    ///
    /// # Errors
    /// `Error::NotFound` if it is not there, `Error::Integrity` if it is another.
    pub(crate) fn manifest(&self, digest: &Digest, media_type: Option<MediaType>) -> Result<RawManifest> {
        let raw = match self {
            Self::Folder { blobs, .. } => match algorithm(blobs.as_ref(), digest)? {
                Some(folder) => read_manifest(&folder, digest.hex())?,
                None => None,
            },
            Self::Archive(index) => index.read_file(&blob_name(digest), MAX_MANIFEST_BYTES as u64)?,
        };
        let raw = raw.ok_or_else(|| self.absent(&format!("reading manifest {digest}")))?;
        manifest_of(raw, media_type, digest, &self.place())
    }

    /// A blob's content.
    pub(crate) fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>> {
        let absent = || self.absent(&format!("reading blob {}", blob.digest));
        let opener = match self {
            Self::Folder { blobs, .. } => {
                let folder = algorithm(blobs.as_ref(), &blob.digest)?.ok_or_else(absent)?;
                Opener::Named(folder, blob.digest.hex().to_owned())
            }
            Self::Archive(index) => index.open(&blob_name(&blob.digest))?.ok_or_else(absent)?,
        };
        Ok(Box::new(FileContent { opener, blob: blob.clone() }))
    }

    fn absent(&self, what: &str) -> Error {
        Error::NotFound {
            what: what.to_owned(),
            place: self.place(),
            reason: "no such file or directory".to_owned(),
        }
    }
}

/// The path of a blob from the layout's root.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("{BLOBS}/{}/{}", digest.algorithm(), digest.hex())
}

fn algorithm(blobs: Option<&Folder>, digest: &Digest) -> Result<Option<Folder>> {
    match blobs {
        Some(blobs) => blobs.enter(digest.algorithm().as_str()),
        None => Ok(None),
    }
}

fn check_version(layout: &[u8], place: &str) -> Result<()> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Layout {
        image_layout_version: String,
    }
    let fault = |fault: String| Error::Integrity(format!("{place}/{LAYOUT_FILE}: {fault}"));
    let layout: Layout = serde_json::from_slice(layout).map_err(|error| fault(error.to_string()))?;
    if layout.image_layout_version.starts_with("1.") {
        Ok(())
    } else {
        let version = layout.image_layout_version.escape_debug();
        Err(fault(format!("the layout's version is \"{version}\", and only 1 is known")))
    }
}

fn no_file(path: &Path) -> Error {
    Error::NotFound {
        what: "reading the image layout".to_owned(),
        place: path.display().to_string(),
        reason: "no such file or directory".to_owned(),
    }
}
