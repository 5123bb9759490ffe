//! An image of a layout, to write.
//!
//! Blobs and manifests get their names as they come; index.json is changed at the commit, under a lock, so that writers
//! of one layout lose nothing of each other.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, RepoName, manifest::MAX_MANIFEST_BYTES};
use tokio::sync::{Mutex, OnceCell};

use super::{BLOBS, INDEX_FILE, Index, LAYOUT, LAYOUT_FILE, MANIFEST_TYPES, REF_NAME, Store, select::select};
use crate::{
    Content, Error, ImageName, RawManifest, Result, Reuse, Role, Side, Sink, SinkTraits, UploadHandle,
    content::Blob,
    dir::referrer,
    disk::{Folder, Scratch, blocking, holds, receive},
    name::LayoutImage,
    sink::LayerForm,
};

#[derive(Debug)]
pub(super) struct LayoutSink {
    name: ImageName,
    image: LayoutImage,
    path: PathBuf,
    shared: Option<PathBuf>,
    /// The layout and its blobs, as far as they were there. They are made when the first file comes: a copy that is
    /// refused leaves nothing.
    there: Option<(Folder, Option<Folder>)>,
    ready: OnceCell<(Folder, Folder)>,
    layers: LayerForm,
    pending: Mutex<Pending>,
}

/// Manifests that were put and wait for the commit.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    top: Option<Descriptor>,
    /// Manifests that nothing put so far names, with what an index says of them.
    loose: Vec<Descriptor>,
    named: BTreeSet<Digest>,
}

impl Pending {
    /// Takes a manifest.
    pub(crate) fn put(&mut self, manifest: &RawManifest, role: Role, image: &LayoutImage) -> Result<()> {
        let parsed = manifest.parse()?;
        self.named.extend(parsed.manifests.iter().map(|child| child.digest.clone()));
        match role {
            Role::Top => {
                let mut top = manifest.descriptor()?;
                if let LayoutImage::Named(name) = image {
                    top.annotations.insert(REF_NAME.to_owned(), name.clone());
                }
                self.top = Some(top);
            }
            Role::Child => self.loose.push(referrer(manifest, &parsed)),
        }
        Ok(())
    }

    /// Writes them into an index: the top by its name, and what no index names (referrers) beside it.
    pub(crate) fn apply(&self, index: &mut Index) -> Result<()> {
        for manifest in self.top.iter().chain(self.loose.iter().filter(|m| !self.named.contains(&m.digest))) {
            index.put(manifest.clone())?;
        }
        Ok(())
    }
}

impl LayoutSink {
    pub(super) async fn open(name: ImageName, path: &Path, image: &LayoutImage, side: &Side) -> Result<Self> {
        if let LayoutImage::At(place) = image {
            return Err(Error::Usage(format!(
                "{name}: @{place} chooses an image to read; name the one to write"
            )));
        }
        let (path, shared) = (path.to_owned(), side.shared_blob_dir.clone());
        let (at, blobs) = (path.clone(), shared.clone());
        let there = blocking(move || {
            let Some(root) = Folder::open(&at)? else { return Ok(None) };
            let blobs = match blobs {
                Some(shared) => Folder::open(&shared)?,
                None => root.enter(BLOBS)?,
            };
            Ok(Some((root, blobs)))
        })
        .await?;
        let layers = match side.accept_uncompressed_layers {
            true => LayerForm::Preserve,
            false => LayerForm::Compress,
        };
        let (ready, pending) = (OnceCell::new(), Mutex::default());
        Ok(Self { name, image: image.clone(), path, shared, there, ready, layers, pending })
    }

    /// The layout's folder and that of its blobs, to write into.
    async fn ready(&self) -> Result<(Folder, Folder)> {
        let make = || {
            let (path, shared) = (self.path.clone(), self.shared.clone());
            blocking(move || {
                let root = Folder::create(&path)?;
                let blobs = match shared {
                    Some(shared) => Folder::create(&shared)?,
                    None => root.enter_or_create(BLOBS)?,
                };
                for folder in [&root, &blobs] {
                    Scratch::sweep(folder)?;
                }
                Ok((root, blobs))
            })
        };
        self.ready.get_or_try_init(make).await.cloned()
    }

    /// The same to look into, as far as they are there.
    fn folders(&self) -> Option<(Folder, Option<Folder>)> {
        let ready = self.ready.get().map(|(root, blobs)| (root.clone(), Some(blobs.clone())));
        ready.or_else(|| self.there.clone())
    }
}

#[async_trait]
impl Sink for LayoutSink {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn traits(&self) -> SinkTraits {
        SinkTraits {
            manifest_types: Some(MANIFEST_TYPES),
            indexes: true,
            signatures: false,
            layers: self.layers,
            keeps_manifest: true,
            concurrent: true,
            trust_current: false,
            unpacks: false,
        }
    }

    async fn current(&self) -> Result<Option<Descriptor>> {
        let Some((root, blobs)) = self.folders() else { return Ok(None) };
        let store = Store::Folder { root: root.clone(), blobs };
        let image = self.image.clone();
        blocking(move || {
            let Some(index) = read_index(&root)? else { return Ok(None) };
            match select(&index, &image, &store) {
                Ok(entry) => Ok(Some(Descriptor::new(entry.media_type, entry.digest, entry.size))),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(fault) => Err(fault),
            }
        })
        .await
    }

    async fn reuse(&self, blob: &Descriptor, _mount_from: &[RepoName]) -> Result<Reuse> {
        let Some((_, Some(blobs))) = self.folders() else { return Ok(Reuse::Absent(None)) };
        let blob = blob.clone();
        let found = blocking(move || match blobs.enter(blob.digest.algorithm().as_str())? {
            Some(folder) => holds(&folder, blob.digest.hex(), &blob),
            None => Ok(false),
        });
        Ok(if found.await? { Reuse::Present } else { Reuse::Absent(None) })
    }

    async fn put(
        &self,
        blob: &Blob,
        content: &dyn Content,
        _upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        let (_, blobs) = self.ready().await?;
        let (scratch, stored) = receive(&blobs, blob, content).await?;
        let digest = stored.digest.clone();
        blocking(move || scratch.keep(&blobs.enter_or_create(digest.algorithm().as_str())?, digest.hex()))
            .await?;
        Ok(stored)
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()> {
        self.pending.lock().await.put(manifest, role, &self.image)?;
        let (_, blobs) = self.ready().await?;
        let (digest, raw) = (manifest.digest.clone(), manifest.raw.clone());
        blocking(move || blobs.enter_or_create(digest.algorithm().as_str())?.replace(digest.hex(), &raw))
            .await
    }

    async fn commit(&self) -> Result<()> {
        let pending = std::mem::take(&mut *self.pending.lock().await);
        let (root, blobs) = self.ready().await?;
        blocking(move || {
            for algorithm in ["sha256", "sha512"] {
                if let Some(folder) = blobs.enter(algorithm)? {
                    folder.sync()?;
                }
            }
            blobs.sync()?;
            let _lock = root.lock()?;
            let mut index = match read_index(&root)? {
                Some(index) => index,
                None => Index::empty()?,
            };
            pending.apply(&mut index)?;
            if root.size_of(LAYOUT_FILE)?.is_none() {
                root.replace(LAYOUT_FILE, LAYOUT)?;
            }
            root.replace(INDEX_FILE, &index.to_bytes()?)?;
            root.sync()
        })
        .await
    }
}

fn read_index(root: &Folder) -> Result<Option<Index>> {
    root.read(INDEX_FILE, MAX_MANIFEST_BYTES as u64)?.map(Index::parse).transpose()
}
