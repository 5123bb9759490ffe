//! Images in tar files: OCI layouts (`oci-archive:`) and what `docker save` writes (`docker-archive:`). Nothing is unpacked:
//! an index of the file's members is made in one pass, and content is read where it lies.

pub(crate) mod header;
mod index;
mod input;
pub(crate) mod pax;

use std::path::Path;

use crate::{
    ImageName, Result, Settings, Source,
    layout::{LayoutSource, Store},
    name::LayoutImage,
};

pub(crate) use index::TarIndex;

/// Opens an image of a layout in a tar file.
pub(crate) async fn layout_source(
    name: &ImageName,
    path: &Path,
    image: &LayoutImage,
    settings: &Settings,
) -> Result<Box<dyn Source>> {
    let store = Store::Archive(input::open(path, settings).await?);
    Ok(Box::new(LayoutSource::open(name.clone(), store, image).await?))
}
