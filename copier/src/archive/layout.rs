//! A layout in a tar file (`oci-archive:`), to read and to write.

use std::path::Path;

use async_trait::async_trait;
use berth_oci::{Algorithm, Descriptor, RepoName};
use tokio::sync::Mutex;

use super::{TarIndex, claims::Claims, input, output::TarOutput};
use crate::{
    Content, Error, ImageName, RawManifest, Result, Reuse, Role, Settings, Side, Sink, SinkTraits, Source,
    UploadHandle,
    content::Blob,
    disk::blocking,
    layout::{
        BLOBS, INDEX_FILE, Index, LAYOUT, LAYOUT_FILE, LayoutSource, MANIFEST_TYPES, Pending, Store,
        blob_name,
    },
    name::LayoutImage,
    sink::LayerForm,
};

/// Opens an image of a layout in a tar file.
pub(crate) async fn source(
    name: &ImageName,
    path: &Path,
    image: &LayoutImage,
    settings: &Settings,
) -> Result<Box<dyn Source>> {
    let store = Store::Archive(input::open(path, settings).await?);
    Ok(Box::new(LayoutSource::open(name.clone(), store, image).await?))
}

/// Opens a new layout in a tar file. An older archive gives way to it at the commit; another file does not.
pub(crate) async fn sink(
    name: &ImageName,
    path: &Path,
    image: &LayoutImage,
    side: &Side,
    settings: &Settings,
) -> Result<Box<dyn Sink>> {
    if let LayoutImage::At(place) = image {
        return Err(Error::Usage(format!(
            "{name}: @{place} chooses an image to read; name the one to write"
        )));
    }
    let (path, folder) = (path.to_owned(), input::temporary_folder(settings));
    let output = blocking(move || {
        is_replaceable(&path)?;
        TarOutput::create(&path, folder)
    });
    let output = output.await?;
    output.folder(&format!("{BLOBS}/")).await?;
    output.folder(&format!("{BLOBS}/{}/", Algorithm::Sha256)).await?;
    let layers = if side.accept_uncompressed_layers { LayerForm::Preserve } else { LayerForm::Compress };
    Ok(Box::new(LayoutArchiveSink {
        name: name.clone(),
        image: image.clone(),
        output,
        layers,
        blobs: Claims::default(),
        pending: Mutex::default(),
    }))
}

/// Asserts that what has the name is an archive of the same kind, or nothing.
fn is_replaceable(path: &Path) -> Result<()> {
    let is_file = |about: std::fs::Metadata| about.is_file() && about.len() > 0;
    if path.as_os_str() == "-" || !std::fs::metadata(path).is_ok_and(is_file) {
        return Ok(());
    }
    let file = std::fs::File::open(path).map_err(Error::file(path))?;
    let has = |tar: &TarIndex| {
        [LAYOUT_FILE, INDEX_FILE].iter().any(|name| tar.open(name).is_ok_and(|file| file.is_some()))
    };
    if TarIndex::read(file, path).is_ok_and(|tar| has(&tar)) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{}: not an OCI archive, don't want to overwrite important data; remove the file or name another",
        path.display()
    )))
}

#[derive(Debug)]
struct LayoutArchiveSink {
    name: ImageName,
    image: LayoutImage,
    output: TarOutput,
    layers: LayerForm,
    /// Blobs and manifests.
    blobs: Claims,
    pending: Mutex<Pending>,
}

#[async_trait]
impl Sink for LayoutArchiveSink {
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
            concurrent: self.output.concurrent(),
            trust_current: false,
            unpacks: false,
        }
    }

    async fn current(&self) -> Result<Option<Descriptor>> {
        // The file is always made anew.
        Ok(None)
    }

    async fn reuse(&self, blob: &Descriptor, _mount_from: &[RepoName]) -> Result<Reuse> {
        Ok(self.blobs.reuse(blob))
    }

    async fn put(
        &self,
        blob: &Blob,
        content: &dyn Content,
        _upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        self.blobs.put(&self.output, blob, content, blob_name).await
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()> {
        self.pending.lock().await.put(manifest, role, &self.image)?;
        if !self.blobs.claim(&manifest.digest, manifest.raw.len() as u64) {
            return Ok(());
        }
        self.output.member(&blob_name(&manifest.digest), &manifest.raw).await
    }

    async fn commit(&self) -> Result<()> {
        let mut index = Index::empty()?;
        self.pending.lock().await.apply(&mut index)?;
        self.output.member(INDEX_FILE, &index.to_bytes()?).await?;
        self.output.member(LAYOUT_FILE, LAYOUT).await?;
        self.output.finish().await
    }
}
