//! Files become an artifact, beside an image or on their own.

use std::collections::{BTreeMap, BTreeSet};

use berth_oci::{Algorithm, Descriptor, Digest, MediaType, Platform};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Annotations, CREATED, FileArgument, UNKNOWN_ARTIFACT, UNKNOWN_CONFIG,
    argument::is_media_type,
    document::{Document, empty},
    prepare::{self, Prepared},
};
use crate::{
    Error, ImageName, RawManifest, Result, Reuse, Role, Session, Side, Sink,
    content::{Blob, Part},
    copy::Verified,
    disk::blocking,
    error::ResultExt,
};

/// Blobs at once.
const PARALLEL: usize = 4;

/// What an artifact is to be made of.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its files and folders, in the order of the layers.
    pub files: Vec<FileArgument>,
    /// `--artifact-type`.
    pub artifact_type: Option<String>,
    /// Annotations.
    pub annotations: Annotations,
    /// A configuration in place of the empty one; its type is the artifact's where that has none of its own.
    pub config: Option<FileArgument>,
    /// The platform that it is for, which becomes the configuration.
    pub platform: Option<Platform>,
    /// When it is made: the annotation `org.opencontainers.image.created`, unless the annotations have it.
    pub created: Timestamp,
}

/// What was pushed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// Where it is, by its digest.
    pub reference: String,
    /// Type of the manifest.
    pub media_type: MediaType,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size: u64,
    /// Type of the artifact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The manifest that it is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its layers.
    pub files: Vec<Descriptor>,
    /// The manifest's bytes.
    #[serde(skip)]
    pub manifest: bytes::Bytes,
}

/// Pushes an artifact under a name.
///
/// # Errors
/// Files that cannot be read or have one title; as the sink.
pub async fn push(session: &Session, name: &ImageName, side: &Side, artifact: &Artifact) -> Result<Pushed> {
    let made = make(session, artifact, None).await?;
    let sink = open(session, name, side).await?;
    send(sink.as_ref(), made, Role::Top, name).await
}

/// Opens a place to write.
pub(super) async fn open(session: &Session, name: &ImageName, side: &Side) -> Result<Box<dyn Sink>> {
    session.sink(name, side).await.context(format!("initializing destination {name}"))
}

/// An artifact that is ready to be sent.
pub(super) struct Made {
    blobs: Vec<(Prepared, Part)>,
    manifest: RawManifest,
}

/// Reads and packs files, and writes the manifest.
pub(super) async fn make(
    session: &Session,
    artifact: &Artifact,
    subject: Option<Descriptor>,
) -> Result<Made> {
    let artifact_type = artifact.artifact_type.as_deref().map(media_type).transpose()?;
    let temporary = session.settings().tmpdir.clone().unwrap_or_else(std::env::temp_dir);
    let (config, stated) = config(artifact, artifact_type).await?;
    let mut files = Vec::new();
    for argument in artifact.files.clone() {
        let temporary = temporary.clone();
        let annotations =
            argument.path.to_str().and_then(|path| artifact.annotations.files.get(path)).cloned();
        let mut file = blocking(move || prepare::file(&argument, &temporary)).await?;
        let title = file.descriptor.annotations.get(super::TITLE).cloned().unwrap_or_default();
        let by_title = || artifact.annotations.files.get(&title).cloned();
        file.descriptor.annotations.extend(annotations.or_else(by_title).unwrap_or_default());
        files.push(file);
    }
    check_titles(&files)?;
    let mut annotations = artifact.annotations.manifest.clone();
    annotations
        .entry(CREATED.to_owned())
        .or_insert_with(|| artifact.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let layers = files.iter().map(|file| file.descriptor.clone()).collect();
    let document = Document::new(stated, config.descriptor.clone(), layers, subject.as_ref(), annotations);
    let manifest = document.encode()?;
    let mut blobs = vec![(config, Part::Config)];
    if files.is_empty() {
        blobs.push((Prepared::empty(), Part::Other));
    }
    blobs.extend(files.into_iter().enumerate().map(|(place, file)| (file, Part::Layer(place))));
    Ok(Made { blobs, manifest })
}

/// The configuration, and the artifact's type that the manifest states. An empty configuration has no type that could
/// stand for it, so there one must be stated.
async fn config(
    artifact: &Artifact,
    artifact_type: Option<MediaType>,
) -> Result<(Prepared, Option<MediaType>)> {
    let unknown = || Some(UNKNOWN_ARTIFACT.into());
    let (mut config, stated) = match (&artifact.config, &artifact.platform) {
        (Some(_), Some(_)) => {
            return Err(Error::Usage(
                "--config and --platform exclude each other: both are the configuration".to_owned(),
            ));
        }
        (Some(argument), None) => {
            let path = argument.path.clone();
            let media_type = argument.media_type.clone().unwrap_or_else(|| UNKNOWN_CONFIG.into());
            (blocking(move || prepare::plain(&path, media_type)).await?, artifact_type)
        }
        (None, Some(platform)) => {
            let text = serde_json::to_vec(platform).map_err(|fault| Error::Other {
                what: "writing the platform".to_owned(),
                source: fault.into(),
            })?;
            let digest = Digest::of(Algorithm::Sha256, &text);
            let descriptor = Descriptor::new(UNKNOWN_CONFIG.into(), digest, text.len() as u64);
            (Prepared::bytes(descriptor, text.into()), artifact_type.or_else(unknown))
        }
        (None, None) => (Prepared::empty(), artifact_type.or_else(unknown)),
    };
    config.descriptor.annotations.extend(artifact.annotations.config.clone());
    Ok((config, stated))
}

fn media_type(text: &str) -> Result<MediaType> {
    if is_media_type(text) {
        return Ok(MediaType::new(text));
    }
    Err(Error::Usage(format!(
        "--artifact-type \"{text}\" is no media type, like application/vnd.example+json"
    )))
}

fn check_titles(files: &[Prepared]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for title in files.iter().filter_map(|file| file.descriptor.annotations.get(super::TITLE)) {
        if !seen.insert(title) {
            return Err(Error::Usage(format!(
                "two files would both be called \"{title}\"; push them from a folder in which their paths differ"
            )));
        }
    }
    Ok(())
}

/// Sends blobs, then the manifest.
pub(super) async fn send(sink: &dyn Sink, made: Made, role: Role, name: &ImageName) -> Result<Pushed> {
    let mut seen = BTreeSet::new();
    let distinct = made.blobs.iter().filter(|(blob, _)| seen.insert(blob.descriptor.digest.clone()));
    let puts: Vec<_> = distinct.map(|(blob, part)| put(sink, blob, *part).boxed()).collect();
    stream::iter(puts)
        .buffer_unordered(if sink.traits().concurrent { PARALLEL } else { 1 })
        .try_collect::<Vec<()>>()
        .await?;
    sink.put_manifest(&made.manifest, role).await.context(format!("writing the manifest to {name}"))?;
    sink.commit().await?;
    pushed(name, &made.manifest)
}

async fn put(sink: &dyn Sink, blob: &Prepared, part: Part) -> Result<()> {
    let known = blob.descriptor.clone();
    let upload = match sink.reuse(&known, &[]).await? {
        Reuse::Present | Reuse::Mounted(_) => return Ok(()),
        Reuse::Absent(upload) => upload,
    };
    let told = Blob { media_type: known.media_type.clone(), known: Some(known.clone()), part };
    // The file may have changed since it was hashed: then nothing of it stays there.
    let content = Verified::new(blob.content(), known, None);
    let stored = sink.put(&told, &content, upload).await;
    match (stored, content.fault()) {
        (Err(_), Some(fault)) => Err(fault),
        (stored, _) => stored.map(drop),
    }
}

fn pushed(name: &ImageName, manifest: &RawManifest) -> Result<Pushed> {
    let parsed = manifest.parse()?;
    let reference = match name {
        ImageName::Docker { reference, .. } => {
            let digest = Some(manifest.digest.clone());
            format!("docker://{}", reference.clone().with_tag(None).with_digest(digest))
        }
        other => other.to_string(),
    };
    let is_file = |layer: &&Descriptor| **layer != empty();
    Ok(Pushed {
        reference,
        media_type: parsed.media_type.clone(),
        digest: manifest.digest.clone(),
        size: manifest.raw.len() as u64,
        artifact_type: parsed.referrer_type().cloned(),
        subject: parsed.subject.as_ref().map(|subject| subject.digest.clone()),
        files: parsed.layers.iter().filter(is_file).cloned().collect(),
        annotations: parsed.annotations,
        manifest: manifest.raw.clone(),
    })
}

/// The time that manifests say they were made: `SOURCE_DATE_EPOCH` (seconds) where that is set, so that builds can be
/// repeated.
///
/// # Errors
/// `Error::Usage` where it is no number of seconds.
pub(super) fn created(epoch: Option<&str>, now: Timestamp) -> Result<Timestamp> {
    let Some(epoch) = epoch else { return Ok(now) };
    epoch.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(|| {
        Error::Usage(format!("SOURCE_DATE_EPOCH=\"{epoch}\" is no number of seconds since 1970"))
    })
}

impl Artifact {
    /// An artifact of nothing, made at `now` or when `SOURCE_DATE_EPOCH` says.
    ///
    /// # Errors
    /// `Error::Usage` where that is no number of seconds.
    pub fn new(epoch: Option<&str>, now: Timestamp) -> Result<Self> {
        Ok(Self {
            files: Vec::new(),
            artifact_type: None,
            annotations: Annotations::default(),
            config: None,
            platform: None,
            created: created(epoch, now)?,
        })
    }
}
