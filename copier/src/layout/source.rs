//! An image of a layout, to read.

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest};

use super::{Index, Store, referrers::referrers, select::select};
use crate::{
    Content, ImageName, RawManifest, Result, Source, disk::blocking, disk::check_length, name::LayoutImage,
};

/// One image of a layout, chosen when it was opened.
#[derive(Debug)]
pub(crate) struct LayoutSource {
    name: ImageName,
    store: Store,
    top: Descriptor,
}

impl LayoutSource {
    /// Chooses an image.
    pub(crate) async fn open(name: ImageName, store: Store, image: &LayoutImage) -> Result<Self> {
        let image = image.clone();
        blocking(move || {
            let index = Index::parse(store.read_index()?)?;
            let top = select(&index, &image, &store)?;
            Ok(Self { name, store, top })
        })
        .await
    }
}

#[async_trait]
impl Source for LayoutSource {
    fn name(&self) -> &ImageName {
        &self.name
    }

    async fn head(&self) -> Result<Option<Descriptor>> {
        let top = &self.top;
        Ok(Some(Descriptor::new(top.media_type.clone(), top.digest.clone(), top.size)))
    }

    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest> {
        let (store, top) = (self.store.clone(), self.top.clone());
        let child = instance.filter(|digest| **digest != top.digest).cloned();
        blocking(move || match child {
            Some(child) => store.manifest(&child, None),
            None => {
                let manifest = store.manifest(&top.digest, Some(top.media_type))?;
                check_length(&top.digest, top.size, manifest.raw.len() as u64)?;
                Ok(manifest)
            }
        })
        .await
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>> {
        let (store, blob) = (self.store.clone(), blob.clone());
        blocking(move || store.blob(&blob)).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let (store, subject) = (self.store.clone(), subject.clone());
        blocking(move || referrers(&store, &Index::parse(store.read_index()?)?, &subject)).await
    }
}
