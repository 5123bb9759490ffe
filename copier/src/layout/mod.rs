//! OCI image layouts (image-spec, image-layout.md): a folder with `oci-layout`, `index.json` and `blobs/ALGORITHM/HEX`.

mod index;
mod referrers;
mod select;
mod sink;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::{ImageName, Result, Side, Sink, Source, name::LayoutImage};

pub(crate) use index::Index;
pub(crate) use sink::Pending;
pub(crate) use source::LayoutSource;
pub(crate) use store::{Store, blob_name};

/// The list of what the layout holds.
pub(crate) const INDEX_FILE: &str = "index.json";
/// The file that makes a folder a layout.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";
/// What that holds; the space is Skopeo's.
pub(crate) const LAYOUT: &[u8] = br#"{"imageLayoutVersion": "1.0.0"}"#;
/// The folder of blobs.
pub(crate) const BLOBS: &str = "blobs";
/// The annotation that names an image of a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation by which containerd and Docker keep the full name.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// Manifest types that a layout is written with.
pub(crate) const MANIFEST_TYPES: &[&str] =
    &[berth_oci::MediaType::OCI_INDEX, berth_oci::MediaType::OCI_MANIFEST];

pub(crate) async fn source(
    name: &ImageName,
    path: &Path,
    image: &LayoutImage,
    side: &Side,
) -> Result<Box<dyn Source>> {
    let store = Store::folder(path, side.shared_blob_dir.as_deref()).await?;
    Ok(Box::new(LayoutSource::open(name.clone(), store, image).await?))
}

pub(crate) async fn sink(
    name: &ImageName,
    path: &Path,
    image: &LayoutImage,
    side: &Side,
) -> Result<Box<dyn Sink>> {
    Ok(Box::new(sink::LayoutSink::open(name.clone(), path, image, side).await?))
}
