//! A `dir:` image to read.

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, manifest::MAX_DESCRIPTORS};
use tokio::sync::OnceCell;

use super::{MANIFEST_FILE, child_file, signature_file};
use crate::{
    Content, Error, ImageName, RawManifest, Result, Source,
    disk::{FileContent, Folder, Opener, blocking, manifest_of, read_manifest},
    error::ResultExt,
    signature::{MAX_SIGNATURE_BYTES, MAX_SIGNATURES, Signature},
};

#[derive(Debug)]
pub(super) struct DirSource {
    name: ImageName,
    folder: Folder,
    top: OnceCell<RawManifest>,
}

impl DirSource {
    pub(super) async fn open(name: ImageName, path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let folder = blocking(move || {
            Folder::open(&path)?.ok_or_else(|| absent(&path.join(MANIFEST_FILE), "reading the manifest"))
        });
        Ok(Self { name, folder: folder.await?, top: OnceCell::new() })
    }

    async fn top(&self) -> Result<RawManifest> {
        let read = || async {
            let folder = self.folder.clone();
            blocking(move || match read_manifest(&folder, MANIFEST_FILE)? {
                Some(raw) => Ok(RawManifest::new(raw, None)),
                None => Err(absent(&folder.path_of(MANIFEST_FILE), "reading the manifest")),
            })
            .await
        };
        self.top.get_or_try_init(read).await.cloned()
    }
}

fn absent(path: &Path, what: &str) -> Error {
    Error::NotFound {
        what: what.to_owned(),
        place: path.display().to_string(),
        reason: "no such file or directory".to_owned(),
    }
}

#[async_trait]
impl Source for DirSource {
    fn name(&self) -> &ImageName {
        &self.name
    }

    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest> {
        let Some(digest) = instance else { return self.top().await };
        let (folder, own, file) = (self.folder.clone(), digest.clone(), child_file(digest));
        let child = blocking(move || {
            let place = folder.path().display().to_string();
            let raw = read_manifest(&folder, &file)?;
            raw.map(|raw| manifest_of(raw, None, &own, &place)).transpose()
        });
        if let Some(child) = child.await? {
            return Ok(child);
        }
        let top = self.top().await?;
        if Digest::of(digest.algorithm(), &top.raw) == *digest {
            return Ok(RawManifest { digest: digest.clone(), ..top });
        }
        Err(absent(&self.folder.path_of(&child_file(digest)), &format!("reading manifest {digest}")))
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>> {
        let opener = Opener::Named(self.folder.clone(), blob.digest.hex().to_owned());
        Ok(Box::new(FileContent { opener, blob: blob.clone() }))
    }

    async fn signatures(&self, manifest: &Digest) -> Result<Vec<Signature>> {
        let top = self.top().await?;
        let is_top = Digest::of(manifest.algorithm(), &top.raw) == *manifest;
        let (folder, child) = (self.folder.clone(), (!is_top).then(|| manifest.clone()));
        blocking(move || read_signatures(&folder, child.as_ref())).await
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let (folder, subject) = (self.folder.clone(), subject.clone());
        blocking(move || read_referrers(&folder, &subject)).await
    }
}

pub(super) fn read_signatures(folder: &Folder, child: Option<&Digest>) -> Result<Vec<Signature>> {
    let mut signatures = Vec::new();
    for number in 1..=MAX_SIGNATURES {
        let file = signature_file(child, number);
        let Some(content) = folder.read(&file, MAX_SIGNATURE_BYTES as u64)? else { return Ok(signatures) };
        let signature = Signature::from_file_bytes(&content).context(folder.path_of(&file).display())?;
        signatures.push(signature);
    }
    tracing::warn!("{}: only the first {} signatures are read", folder.path().display(), MAX_SIGNATURES);
    Ok(signatures)
}

/// Every manifest in the folder whose subject it is: the format has no other list.
fn read_referrers(folder: &Folder, subject: &Digest) -> Result<Vec<Descriptor>> {
    let mut found = BTreeMap::new();
    let names = folder.names()?;
    let files = names.iter().filter(|name| name.ends_with(".manifest.json"));
    for file in files.take(MAX_DESCRIPTORS) {
        let Some(raw) = read_manifest(folder, file)? else { continue };
        let raw = RawManifest::new(raw, None);
        // What is no manifest has no subject; whoever asks for it by digest is told why.
        let Ok(manifest) = raw.parse() else { continue };
        if manifest.subject.as_ref().is_some_and(|own| own.digest == *subject) {
            found.insert(raw.digest.clone(), referrer(&raw, &manifest));
        }
    }
    Ok(found.into_values().collect())
}

/// A referrer as lists show it (distribution-spec, "Listing Referrers").
pub(crate) fn referrer(raw: &RawManifest, manifest: &berth_oci::Manifest) -> Descriptor {
    Descriptor {
        artifact_type: manifest.referrer_type().cloned(),
        annotations: manifest.annotations.clone(),
        ..Descriptor::new(manifest.media_type.clone(), raw.digest.clone(), raw.raw.len() as u64)
    }
}
