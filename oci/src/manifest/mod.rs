//! Manifests: images and indexes of OCI and of Docker's schema 2, and anything else that is JSON.
//!
//! The bytes are the manifest: its digest is theirs, and they are stored and served untouched. The
//! parsed form beside them holds what a registry or a copier has to follow. Parsing is strict where
//! two readers could see two different images in the same bytes (equal keys, both kinds' fields, a
//! type that differs from the header's), and open where the specification is: media types and
//! fields that nobody knows are fine.

mod docker;
mod document;
mod error;
mod image;
mod index;
mod json;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::document::{Document, Field};
use crate::{Descriptor, MediaType};

pub use error::{DataFault, ManifestError};
pub use index::referrers_index;

/// Most descriptors in a manifest: its configuration, layers and children together.
pub const MAX_DESCRIPTORS: usize = 10_000;
/// Most bytes of a manifest: 4 MiB.
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// Deepest nesting of indexes. Checked by whoever knows the children, not by [`Manifest::parse`].
pub const MAX_INDEX_DEPTH: usize = 20;
/// Deepest nesting of JSON objects and arrays in a manifest, the document itself included.
pub const MAX_DEPTH: usize = 128;

/// What a manifest is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It names a configuration and layers.
    Image,
    /// It names manifests.
    Index,
    /// It names neither.
    Other,
}

/// A manifest: its bytes, and what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The bytes as they were pushed.
    pub raw: Bytes,
    /// The `mediaType` field; where that is absent the Content-Type, or else what the shape says.
    pub media_type: MediaType,
    /// What it is made of.
    pub kind: Kind,
    /// Configuration of an image.
    pub config: Option<Descriptor>,
    /// Layers of an image, lowest first.
    pub layers: Vec<Descriptor>,
    /// Entries of an index.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one refers to; it need not exist.
    pub subject: Option<Descriptor>,
    /// The `artifactType` field.
    pub artifact_type: Option<MediaType>,
    /// Free text by key.
    pub annotations: BTreeMap<String, String>,
}

/// The rules that a media type brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Image,
    Index,
    Schema1,
    Unknown,
}

impl Family {
    fn of(media_type: &MediaType) -> Self {
        match media_type.as_str() {
            MediaType::OCI_MANIFEST | MediaType::DOCKER_MANIFEST => Self::Image,
            MediaType::OCI_INDEX | MediaType::DOCKER_LIST => Self::Index,
            MediaType::DOCKER_SCHEMA1 | MediaType::DOCKER_SCHEMA1_SIGNED => Self::Schema1,
            _ => Self::Unknown,
        }
    }
}

impl Manifest {
    /// Parses a manifest. `content_type` is what the push's header said, if anything.
    ///
    /// A `mediaType` field and a header must agree. Images and indexes of OCI and Docker must have
    /// all that their specification requires; of a type that is unknown, `config`, `layers` and
    /// `manifests` still have to be descriptors, and anything else is free.
    ///
    /// # Errors
    /// Everything that [`ManifestError`] lists. The children's existence is not looked at, nor is
    /// the nesting of indexes.
    pub fn parse(raw: Bytes, content_type: Option<&MediaType>) -> Result<Self, ManifestError> {
        if raw.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { size: raw.len() });
        }
        let text =
            std::str::from_utf8(&raw).map_err(|error| ManifestError::Encoding { at: error.valid_up_to() })?;
        let document = Document::read(text)?;
        let media_type = media_type(&document, content_type)?;
        let known = match Family::of(&media_type) {
            Family::Image => image::check(&document).map(|()| true)?,
            Family::Index => index::check(&document).map(|()| true)?,
            Family::Schema1 => return Err(ManifestError::Schema1),
            Family::Unknown => false,
        };
        if known {
            schema_version_2(&document, &media_type)?;
        }
        let descriptors = document.config.iter().len()
            + document.layers.as_ref().map_or(0, Vec::len)
            + document.manifests.as_ref().map_or(0, Vec::len);
        if descriptors > MAX_DESCRIPTORS {
            return Err(ManifestError::TooManyDescriptors { path: "the manifest".to_owned() });
        }
        // Where the type is unknown, a field with a known name and another shape is just a field.
        Ok(Self {
            kind: kind(&document),
            config: document.config,
            layers: document.layers.unwrap_or_default(),
            manifests: document.manifests.unwrap_or_default(),
            subject: settle(document.subject, known)?,
            artifact_type: settle(document.artifact_type, known)?,
            annotations: settle(document.annotations, known)?.unwrap_or_default(),
            media_type,
            raw,
        })
    }

    /// The type by which a referrers list shows and filters this manifest: `artifactType`, or else
    /// the configuration's type where it is an image (distribution-spec, "Listing Referrers").
    #[must_use]
    pub fn referrer_type(&self) -> Option<&MediaType> {
        let config = || match self.kind {
            Kind::Image => self.config.as_ref().map(|config| &config.media_type),
            Kind::Index | Kind::Other => None,
        };
        self.artifact_type.as_ref().or_else(config)
    }
}

fn settle<T>(field: Field<T>, strict: bool) -> Result<Option<T>, ManifestError> {
    if strict { field.transpose() } else { Ok(field.and_then(Result::ok)) }
}

/// The manifest's type, once nothing in the document contradicts it.
fn media_type(document: &Document, content_type: Option<&MediaType>) -> Result<MediaType, ManifestError> {
    let stated = document.media_type.as_ref().or(content_type);
    docker::refuse_schema1(document, stated)?;
    if let (Some(field), Some(header)) = (&document.media_type, content_type)
        && field != header
    {
        return Err(ManifestError::MediaTypeMismatch { field: field.clone(), header: header.clone() });
    }
    if document.manifests.is_some() && (document.layers.is_some() || document.config.is_some()) {
        let other = if document.layers.is_some() { "`layers`" } else { "`config`" };
        return Err(ManifestError::Ambiguous { one: "`manifests`", other });
    }
    // OCI's `mediaType` is optional, and a file on a disk has no header.
    stated.cloned().map_or_else(
        || match kind(document) {
            Kind::Image => Ok(MediaType::OCI_MANIFEST.into()),
            Kind::Index => Ok(MediaType::OCI_INDEX.into()),
            Kind::Other => Err(ManifestError::NoMediaType),
        },
        Ok,
    )
}

fn kind(document: &Document) -> Kind {
    if document.manifests.is_some() {
        Kind::Index
    } else if document.config.is_some() || document.layers.is_some() {
        Kind::Image
    } else {
        Kind::Other
    }
}

fn schema_version_2(document: &Document, media_type: &MediaType) -> Result<(), ManifestError> {
    match &document.schema_version {
        Some(Ok(2)) => Ok(()),
        Some(Ok(found)) => {
            Err(ManifestError::SchemaVersion { found: *found, media_type: media_type.clone() })
        }
        Some(Err(fault)) => Err(fault.clone()),
        None => Err(ManifestError::Missing {
            path: "schemaVersion".to_owned(),
            rule: "an image or index has to say `\"schemaVersion\": 2`",
        }),
    }
}
