//! A `dir:` image to write.
//!
//! Whatever the folder meant before, it means until the commit: new files are written beside the old ones, `manifest.json`
//! is replaced at once, and what the new image has no use for goes last.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, RepoName, manifest::MAX_INDEX_DEPTH};
use tokio::sync::{Mutex, OnceCell};

use super::{MANIFEST_FILE, VERSION, VERSION_FILE, child_file, signature_file, source::read_signatures};
use crate::{
    Content, Error, ImageName, RawManifest, Result, Reuse, Role, Sink, SinkTraits, UploadHandle,
    content::Blob,
    disk::{Folder, Lock, Scratch, blocking, holds, read_manifest, receive},
    signature::Signature,
    sink::LayerForm,
};

#[derive(Debug)]
pub(super) struct DirSink {
    name: ImageName,
    path: PathBuf,
    /// The folder, if there was one. It is made and marked when the first file comes: a copy that is refused leaves
    /// nothing.
    there: Option<Folder>,
    ready: OnceCell<Folder>,
    /// Until the commit, one image is written at a time: another copy would take the files of this one for leftovers.
    lock: Mutex<Option<Lock>>,
    state: Mutex<State>,
}

/// What was put and waits for the commit.
#[derive(Debug, Default)]
struct State {
    top: Option<RawManifest>,
    /// Files that belong to the new image.
    files: BTreeSet<String>,
    signatures: BTreeMap<Digest, Vec<Signature>>,
}

impl DirSink {
    pub(super) async fn open(name: ImageName, path: &Path) -> Result<Self> {
        let at = path.to_owned();
        let there = blocking(move || {
            let Some(folder) = Folder::open(&at)? else { return Ok(None) };
            let lock = folder.lock()?;
            is_ours(&folder)?;
            Ok(Some((folder, lock)))
        });
        let (there, lock) = there.await?.unzip();
        let (path, lock) = (path.to_owned(), Mutex::new(lock));
        Ok(Self { name, path, there, ready: OnceCell::new(), lock, state: Mutex::default() })
    }

    /// The folder to write into: made, locked, and marked as ours.
    async fn ready(&self) -> Result<Folder> {
        let make = || async {
            let (path, there) = (self.path.clone(), self.there.clone());
            let mut held = self.lock.lock().await;
            let lock = held.take();
            let made = blocking(move || {
                let folder = there.map_or_else(|| Folder::create(&path), Ok)?;
                let lock = lock.map_or_else(|| folder.lock(), Ok)?;
                prepare(&folder)?;
                Ok((folder, lock))
            });
            let (folder, lock) = made.await?;
            *held = Some(lock);
            Ok(folder)
        };
        self.ready.get_or_try_init(make).await.cloned()
    }

    /// The folder to look into, if it is there.
    fn folder(&self) -> Option<Folder> {
        self.ready.get().or(self.there.as_ref()).cloned()
    }
}

/// Whether the folder is an image's, or empty.
fn is_ours(folder: &Folder) -> Result<bool> {
    match folder.read(VERSION_FILE, 1024)? {
        Some(version) if version == VERSION => Ok(true),
        None if folder.names()?.is_empty() => Ok(false),
        _ => Err(Error::Refused(format!(
            "{}: not a containers image directory, don't want to overwrite important data; name a new or an empty folder",
            folder.path().display()
        ))),
    }
}

/// Marks the folder as ours, so that a copy that breaks can be begun again. Without `manifest.json` it is no image.
fn prepare(folder: &Folder) -> Result<()> {
    if is_ours(folder)? { Scratch::sweep(folder) } else { folder.replace(VERSION_FILE, VERSION) }
}

#[async_trait]
impl Sink for DirSink {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn traits(&self) -> SinkTraits {
        SinkTraits {
            manifest_types: None,
            indexes: true,
            signatures: true,
            layers: LayerForm::Preserve,
            keeps_manifest: true,
            concurrent: true,
            trust_current: false,
            unpacks: false,
        }
    }

    async fn current(&self) -> Result<Option<Descriptor>> {
        let Some(folder) = self.folder() else { return Ok(None) };
        let raw = blocking(move || read_manifest(&folder, MANIFEST_FILE)).await?;
        // What is no manifest is nothing that could be what is wanted.
        Ok(raw.and_then(|raw| RawManifest::new(raw, None).descriptor().ok()))
    }

    async fn reuse(&self, blob: &Descriptor, _mount_from: &[RepoName]) -> Result<Reuse> {
        let Some(folder) = self.folder() else { return Ok(Reuse::Absent(None)) };
        let wanted = blob.clone();
        if !blocking(move || holds(&folder, wanted.digest.hex(), &wanted)).await? {
            return Ok(Reuse::Absent(None));
        }
        self.state.lock().await.files.insert(blob.digest.hex().to_owned());
        Ok(Reuse::Present)
    }

    async fn put(
        &self,
        blob: &Blob,
        content: &dyn Content,
        _upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        let folder = self.ready().await?;
        let (scratch, stored) = receive(&folder, blob, content).await?;
        let file = stored.digest.hex().to_owned();
        self.state.lock().await.files.insert(file.clone());
        blocking(move || scratch.keep(&folder, &file)).await?;
        Ok(stored)
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()> {
        let file = child_file(&manifest.digest);
        match role {
            Role::Top => self.state.lock().await.top = Some(manifest.clone()),
            Role::Child => {
                let (folder, raw) = (self.ready().await?, manifest.raw.clone());
                self.state.lock().await.files.insert(file.clone());
                blocking(move || folder.replace(&file, &raw)).await?;
            }
        }
        Ok(())
    }

    async fn put_signatures(&self, manifest: &Digest, signatures: &[Signature]) -> Result<()> {
        let mut state = self.state.lock().await;
        state.signatures.entry(manifest.clone()).or_default().extend_from_slice(signatures);
        Ok(())
    }

    async fn commit(&self) -> Result<()> {
        let state = std::mem::take(&mut *self.state.lock().await);
        let folder = self.ready().await?;
        let lock = self.lock.lock().await.take();
        blocking(move || {
            let _until_the_end = lock;
            commit(&folder, state)
        })
        .await
    }
}

fn commit(folder: &Folder, state: State) -> Result<()> {
    let State { top, mut files, signatures } = state;
    // The lock keeps copies apart, and nothing else.
    for file in &files {
        if folder.size_of(file)?.is_none() {
            return Err(Error::Integrity(format!(
                "{}: removed by somebody while the image was written; copy it again, one image at a time",
                folder.path_of(file).display()
            )));
        }
    }
    let old = read_manifest(folder, MANIFEST_FILE)?;
    // An image that was there already: it stays, and signatures come beside its own.
    let unchanged = match (&top, &old) {
        (Some(top), Some(old)) => top.raw == *old,
        (None, _) => true,
        (Some(_), None) => false,
    };
    let top = match top {
        Some(top) => top,
        None => RawManifest::new(old.unwrap_or_default(), None),
    };
    if !unchanged {
        folder.sync()?;
        // The old image's signatures go first: a new image that lacks its own is refused, where one is asked for.
        for name in folder.names()?.iter().filter(|name| name.starts_with("signature-")) {
            folder.remove(name)?;
        }
        folder.replace(MANIFEST_FILE, &top.raw)?;
        folder.sync()?;
    }
    for (manifest, new) in signatures {
        let child = (Digest::of(manifest.algorithm(), &top.raw) != manifest).then_some(&manifest);
        put_signatures(folder, child, unchanged, &new, &mut files)?;
    }
    if !unchanged {
        files.extend([MANIFEST_FILE, VERSION_FILE].map(str::to_owned));
        mark(folder, &top, &mut files, &mut BTreeSet::new(), 0)?;
        for name in folder.names()?.iter().filter(|name| !files.contains(*name)) {
            folder.remove(name)?;
        }
    }
    folder.sync()
}

fn put_signatures(
    folder: &Folder,
    child: Option<&Digest>,
    beside: bool,
    new: &[Signature],
    files: &mut BTreeSet<String>,
) -> Result<()> {
    let mut all = if beside { read_signatures(folder, child)? } else { Vec::new() };
    for signature in new {
        if !all.contains(signature) {
            all.push(signature.clone());
        }
    }
    for (place, signature) in all.iter().enumerate() {
        let file = signature_file(child, place + 1);
        folder.replace(&file, &signature.to_file_bytes())?;
        files.insert(file);
    }
    Ok(())
}

/// Adds every file that a manifest needs: what lay there before and was not put again belongs to the image as well.
fn mark(
    folder: &Folder,
    manifest: &RawManifest,
    files: &mut BTreeSet<String>,
    seen: &mut BTreeSet<Digest>,
    depth: usize,
) -> Result<()> {
    let Ok(parsed) = manifest.parse() else { return Ok(()) };
    for blob in parsed.config.iter().chain(&parsed.layers) {
        files.insert(blob.digest.hex().to_owned());
    }
    for child in parsed.manifests {
        let file = child_file(&child.digest);
        let raw = if depth < MAX_INDEX_DEPTH && seen.insert(child.digest) {
            read_manifest(folder, &file)?
        } else {
            None
        };
        files.insert(file);
        if let Some(raw) = raw {
            mark(folder, &RawManifest::new(raw, None), files, seen, depth + 1)?;
        }
    }
    Ok(())
}
