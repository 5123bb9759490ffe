//! An artifact's files are written to a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Seek,
    path::{Path, PathBuf},
};

use berth_oci::{Descriptor, Digest, Manifest, MediaType, Platform, manifest::Kind};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::{
    layers::{Planned, plan},
    title::Title,
    unpack::{Staging, kind_of, unpack},
};
use crate::{
    Error, ImageName, RawManifest, Result, Session, Side, Source,
    content::{Blob, Part},
    copy::{Verified, platform},
    disk::{Folder, blocking, receive},
    error::ResultExt,
};

/// Files at once.
const PARALLEL: usize = 4;
/// Most subjects that are followed from one to the next (C11).
const MAX_SUBJECTS: usize = 20;

/// How an artifact is pulled.
#[derive(Clone, Debug, Default)]
pub struct Pull {
    /// The folder; made if it is not there.
    pub output: PathBuf,
    /// Replace files that are there.
    pub overwrite: bool,
    /// Unpack every layer of a packed folder's type, also where nothing says that it wants to be.
    pub unpack: bool,
    /// The child of an index.
    pub platform: Option<Platform>,
    /// Pull what it is attached to, too.
    pub include_subject: bool,
}

/// What was pulled.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    /// The name that was asked for.
    pub reference: String,
    /// Digest of the artifact's manifest.
    pub digest: Digest,
    /// Type of the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// Its files, in the order of the layers.
    pub files: Vec<PulledFile>,
    /// Layers without a title, which have no name to be written under.
    pub skipped: Vec<Digest>,
}

/// One file or folder.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PulledFile {
    /// Where it is now.
    pub path: PathBuf,
    /// Digest of the layer.
    pub digest: Digest,
    /// Bytes of the layer.
    pub size: u64,
    /// Type of the layer.
    pub media_type: MediaType,
    /// Annotations of the layer.
    pub annotations: BTreeMap<String, String>,
}

/// Pulls an artifact's files. All names are looked at before the first byte is fetched; each file appears whole or not
/// at all.
///
/// # Errors
/// `Error::Integrity` for names that lead out of the folder and for content that is not what it should be,
/// `Error::Refused` for what would be overwritten; as the source.
pub async fn pull(session: &Session, name: &ImageName, side: &Side, how: &Pull) -> Result<Pulled> {
    let source = session.source(name, side).await.context(format!("opening {name}"))?;
    let top = source.manifest(None).await?;
    let manifest = image(session, source.as_ref(), top, how.platform.as_ref()).await?;
    session.policy()?.check(source.as_ref(), &manifest).await?;
    let (digest, manifest) = (manifest.digest.clone(), manifest.parse()?);
    let mut layers = manifest.layers.clone();
    if how.include_subject {
        layers.extend(subjects(session, source.as_ref(), &manifest, how.platform.as_ref()).await?);
    }
    let (planned, skipped) = plan(layers, how)?;
    let output = how.output.clone();
    let folder = blocking(move || Folder::create(&output)).await?;
    if !how.overwrite {
        let (folder, titles) =
            (folder.clone(), planned.iter().map(|file| file.title.clone()).collect::<Vec<_>>());
        blocking(move || titles.iter().try_for_each(|title| check_free(&folder, title))).await?;
    }
    let files = stream::iter(planned)
        .map(|file| fetch(source.as_ref(), file, &folder, how))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let artifact_type = manifest.referrer_type().cloned();
    Ok(Pulled { reference: name.to_string(), digest, artifact_type, files, skipped })
}

/// The image that a manifest is, or the index's child for a platform.
async fn image(
    session: &Session,
    source: &dyn Source,
    top: RawManifest,
    platform: Option<&Platform>,
) -> Result<RawManifest> {
    let parsed = top.parse()?;
    match parsed.kind {
        Kind::Image => Ok(top),
        Kind::Index => child(session, source, &top, platform).await,
        Kind::Other => Err(Error::Unsupported(format!(
            "{}: a manifest of type {} has no files",
            source.name(),
            parsed.media_type
        ))),
    }
}

/// The child of an index for a platform, or this machine's.
///
/// # Errors
/// `Error::NotFound` if it has none, `Error::Usage` if it is no index.
pub(super) async fn child(
    session: &Session,
    source: &dyn Source,
    top: &RawManifest,
    platform: Option<&Platform>,
) -> Result<RawManifest> {
    let index = top.parse()?;
    if index.kind != Kind::Index {
        return Err(Error::Usage(format!(
            "{}: --platform chooses from an index, and this is none",
            source.name()
        )));
    }
    let wanted = match platform {
        Some(platform) => platform::wanted(platform, &Platform::default()),
        None => platform::wanted(&session.settings().platform, &platform::host()),
    };
    let place = source.name().to_string();
    source.manifest(Some(&platform::choose(&index, &wanted, &place)?.digest)).await
}

/// Layers of what a manifest is attached to, and of what that is attached to.
async fn subjects(
    session: &Session,
    source: &dyn Source,
    manifest: &Manifest,
    platform: Option<&Platform>,
) -> Result<Vec<Descriptor>> {
    let mut seen = BTreeSet::new();
    let mut layers = Vec::new();
    let mut next = manifest.subject.clone();
    while let Some(subject) = next {
        if !seen.insert(subject.digest.clone()) || seen.len() > MAX_SUBJECTS {
            return Err(Error::Integrity(format!(
                "{}: the subjects go in a circle, or are more than {MAX_SUBJECTS}",
                source.name()
            )));
        }
        let raw = source.manifest(Some(&subject.digest)).await?;
        session.policy()?.check(source, &raw).await?;
        let found = image(session, source, raw, platform).await?.parse()?;
        layers.extend(found.layers);
        next = found.subject;
    }
    Ok(layers)
}

/// Asserts that nothing stands where a file will.
fn check_free(output: &Folder, title: &Title) -> Result<()> {
    let mut folder = output.clone();
    for name in title.folders() {
        match folder.enter(name)? {
            Some(inner) => folder = inner,
            None => return Ok(()),
        }
    }
    match kind_of(&folder, title.name())? {
        None => Ok(()),
        Some(_) => Err(Error::Refused(format!(
            "{} is there already; --overwrite replaces it, or name another folder with -o",
            folder.path_of(title.name()).display()
        ))),
    }
}

async fn fetch(source: &dyn Source, file: Planned, output: &Folder, how: &Pull) -> Result<PulledFile> {
    let layer = file.layer.clone();
    let doing = format!("pulling \"{}\" ({})", file.title, layer.digest);
    let path = write(source, file, output, how).await.context(doing)?;
    Ok(PulledFile {
        path,
        digest: layer.digest,
        size: layer.size,
        media_type: layer.media_type,
        annotations: layer.annotations,
    })
}

async fn write(source: &dyn Source, file: Planned, output: &Folder, how: &Pull) -> Result<PathBuf> {
    let (folder, title) = (output.clone(), file.title.clone());
    let parent = blocking(move || {
        title.folders().iter().try_fold(folder, |folder, name| folder.enter_or_create(name))
    })
    .await?;
    let layer = &file.layer;
    let told = Blob { known: Some(layer.clone()), media_type: layer.media_type.clone(), part: Part::Other };
    let content = Verified::new(source.blob(layer).await?, layer.clone(), None);
    let received = receive(&parent, &told, &content).await;
    let (scratch, _) = match (received, content.fault()) {
        (Err(_), Some(fault)) => return Err(fault),
        (received, _) => received?,
    };
    let is_folder = file.is_folder(how);
    let tar_digest = file.tar_digest()?;
    let (overwrite, size) = (how.overwrite, layer.size);
    blocking(move || {
        let name = file.title.name();
        let path: PathBuf = parent.path_of(name);
        if !is_folder {
            if !overwrite {
                check_free(&parent, &Title::parse(name)?)?;
            }
            scratch.keep(&parent, name)?;
            return Ok(path);
        }
        let mut packed = scratch.file()?;
        packed.rewind().map_err(Error::file(&path))?;
        unpack_to(&parent, name, overwrite, |folder| {
            unpack(packed, size, name, tar_digest.as_ref(), folder)
        })?;
        Ok(path)
    })
    .await
}

/// A folder that is new appears whole or not at all; one that is there is filled where it is.
fn unpack_to(
    parent: &Folder,
    name: &str,
    overwrite: bool,
    unpack: impl FnOnce(&Folder) -> Result<()>,
) -> Result<()> {
    if overwrite && kind_of(parent, name)?.is_some() {
        let there = parent
            .enter(name)?
            .ok_or_else(|| Error::Integrity(format!("{} was taken away", parent.path_of(name).display())))?;
        return unpack(&there);
    }
    let staging = Staging::new(parent)?;
    unpack(&staging.folder)?;
    staging.keep(name)
}

/// Where a file goes, relative to where people stand.
impl PulledFile {
    /// The path below the folder that it was pulled to.
    #[must_use]
    pub fn below<'a>(&'a self, output: &Path) -> &'a Path {
        self.path.strip_prefix(output).unwrap_or(&self.path)
    }
}
