//! Reads the fields of any manifest into one record, before its kind is known.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{
    DataFault, MAX_DESCRIPTORS, ManifestError,
    json::{Reader, Result},
};
use crate::{Descriptor, Digest, MediaType, Platform};

/// A field that is there, and its fault if it has one. Faults wait until the kind is known: an
/// unknown kind may give these names another meaning.
pub(super) type Field<T> = Option<std::result::Result<T, ManifestError>>;

/// The fields of an image, an index, or something unknown. Fields with `null` are absent, but for
/// the lists, where it is an empty list: Go writes empty lists so.
#[derive(Default)]
pub(super) struct Document {
    pub(super) schema_version: Field<i64>,
    pub(super) media_type: Option<MediaType>,
    pub(super) config: Option<Descriptor>,
    pub(super) layers: Option<Vec<Descriptor>>,
    pub(super) manifests: Option<Vec<Descriptor>>,
    pub(super) subject: Field<Descriptor>,
    pub(super) artifact_type: Field<MediaType>,
    pub(super) annotations: Field<BTreeMap<String, String>>,
    /// The list of layers of Docker's schema 1.
    pub(super) fs_layers: bool,
}

impl Document {
    pub(super) fn read(text: &str) -> Result<Self> {
        const KNOWN: [&str; 8] = [
            "schemaVersion",
            "mediaType",
            "config",
            "layers",
            "manifests",
            "subject",
            "artifactType",
            "annotations",
        ];
        let mut document = Self::default();
        let mut reader = Reader::new(text);
        reader.object(|reader, key| {
            match key {
                "layers" => document.layers = Some(descriptors(reader)?),
                "manifests" => document.manifests = Some(descriptors(reader)?),
                _ if reader.null() => {}
                "schemaVersion" => document.schema_version = Some(reader.attempt(integer)?),
                "mediaType" => document.media_type = media_type(reader)?,
                "config" => document.config = Some(descriptor(reader)?),
                "subject" => document.subject = Some(reader.attempt(descriptor)?),
                "artifactType" => document.artifact_type = reader.attempt(media_type)?.transpose(),
                "annotations" => document.annotations = Some(reader.attempt(annotations)?),
                "fsLayers" => {
                    document.fs_layers = true;
                    reader.skip()?;
                }
                _ => reader.skip_unknown(key, &KNOWN)?,
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(document)
    }
}

fn integer(reader: &mut Reader<'_>) -> Result<i64> {
    reader.number()?.parse().map_err(|_| reader.wrong_type("an integer"))
}

fn descriptors(reader: &mut Reader<'_>) -> Result<Vec<Descriptor>> {
    let mut list = Vec::new();
    if reader.null() {
        return Ok(list);
    }
    let path = reader.path();
    reader.array(|reader, index| {
        if index == MAX_DESCRIPTORS {
            return Err(ManifestError::TooManyDescriptors { path: path.clone() });
        }
        list.push(descriptor(reader)?);
        Ok(())
    })?;
    Ok(list)
}

fn descriptor(reader: &mut Reader<'_>) -> Result<Descriptor> {
    const KNOWN: [&str; 8] =
        ["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"];
    let (mut kind, mut digest, mut bytes) = (None, None, None);
    let (mut urls, mut notes, mut embedded) = (Vec::new(), BTreeMap::new(), None);
    let (mut artifact_type, mut runs_on) = (None, None);
    reader.object(|reader, key| {
        match key {
            _ if reader.null() => {}
            "mediaType" => kind = media_type(reader)?,
            "digest" => digest = Some(digest_of(reader)?),
            "size" => bytes = Some(size(reader)?),
            "urls" => urls = strings(reader)?,
            "annotations" => notes = annotations(reader)?,
            "data" => embedded = Some((reader.path(), data(reader)?)),
            "artifactType" => artifact_type = media_type(reader)?,
            "platform" => runs_on = Some(platform(reader)?),
            _ => reader.skip_unknown(key, &KNOWN)?,
        }
        Ok(())
    })?;
    let missing = |field: &str| ManifestError::Missing {
        path: format!("{}.{field}", reader.path()),
        rule: "a descriptor names its content by mediaType, digest and size",
    };
    let media_type = kind.ok_or_else(|| missing("mediaType"))?;
    let digest = digest.ok_or_else(|| missing("digest"))?;
    let size = bytes.ok_or_else(|| missing("size"))?;
    let mut descriptor = Descriptor::new(media_type, digest, size);
    if let Some((path, data)) = embedded {
        verify_data(&data, &descriptor).map_err(|fault| ManifestError::Data { path, fault })?;
        descriptor.data = Some(data);
    }
    Ok(Descriptor { urls, annotations: notes, artifact_type, platform: runs_on, ..descriptor })
}

/// `None` for an empty text: Go's writers that do not omit an absent type write that.
fn media_type(reader: &mut Reader<'_>) -> Result<Option<MediaType>> {
    let text = reader.string()?;
    if text.is_empty() {
        return Ok(None);
    }
    let kind = MediaType::new(&text);
    // The type is served as a header's value; white space around parameters is gone already.
    if kind.as_str().is_empty() || !kind.as_str().bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ManifestError::MediaType { path: reader.path() });
    }
    Ok(Some(kind))
}

fn digest_of(reader: &mut Reader<'_>) -> Result<Digest> {
    let text = reader.string()?;
    text.parse().map_err(|fault| ManifestError::Digest { path: reader.path(), fault })
}

fn size(reader: &mut Reader<'_>) -> Result<u64> {
    let wrong = |reader: &Reader<'_>| ManifestError::Size { path: reader.path() };
    let number = match reader.number() {
        Err(ManifestError::Type { .. }) => return Err(wrong(reader)),
        number => number?,
    };
    let size: u64 = number.parse().map_err(|_| wrong(reader))?;
    if i64::try_from(size).is_ok() { Ok(size) } else { Err(wrong(reader)) }
}

fn data(reader: &mut Reader<'_>) -> Result<Bytes> {
    let text = reader.string()?;
    let fault = |_| ManifestError::Data { path: reader.path(), fault: DataFault::Encoding };
    STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(fault)
}

fn verify_data(data: &Bytes, descriptor: &Descriptor) -> std::result::Result<(), DataFault> {
    if data.len() as u64 != descriptor.size {
        return Err(DataFault::Size);
    }
    let found = Digest::of(descriptor.digest.algorithm(), data);
    if found == descriptor.digest { Ok(()) } else { Err(DataFault::Digest) }
}

fn strings(reader: &mut Reader<'_>) -> Result<Vec<String>> {
    let mut list = Vec::new();
    reader.array(|reader, _| {
        list.push(reader.string()?.into_owned());
        Ok(())
    })?;
    Ok(list)
}

fn annotations(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    reader.object(|reader, key| {
        map.insert(key.to_owned(), reader.string()?.into_owned());
        Ok(())
    })?;
    Ok(map)
}

fn platform(reader: &mut Reader<'_>) -> Result<Platform> {
    const KNOWN: [&str; 6] = ["architecture", "os", "os.version", "os.features", "variant", "features"];
    let mut platform = Platform::default();
    reader.object(|reader, key| {
        match key {
            _ if reader.null() => {}
            "architecture" => platform.architecture = reader.string()?.into_owned(),
            "os" => platform.os = reader.string()?.into_owned(),
            "os.version" => platform.os_version = Some(reader.string()?.into_owned()),
            "os.features" => platform.os_features = strings(reader)?,
            "variant" => platform.variant = Some(reader.string()?.into_owned()),
            "features" => platform.features = strings(reader)?,
            _ => reader.skip_unknown(key, &KNOWN)?,
        }
        Ok(())
    })?;
    Ok(platform)
}
