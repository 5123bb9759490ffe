//! Manifests written anew: in the other format, or with other layers.
//!
//! Both formats have the same shape. What is written here has the bytes that Go's encoder gives for the same manifest,
//! so that everybody who converts the same image gets the same digest. The configuration's bytes stay as they are: each
//! format's readers ignore what only the other knows.

use std::collections::BTreeMap;

use berth_oci::{Descriptor, Digest, Manifest, MediaType, Platform, manifest::Kind};
use bytes::Bytes;
use serde::Serialize;

use super::{layer_type::LayerType, options::ManifestFormat};
use crate::{Error, RawManifest, Result};

impl ManifestFormat {
    /// The type of an image's manifest.
    #[must_use]
    pub const fn image(self) -> &'static str {
        match self {
            Self::Oci => MediaType::OCI_MANIFEST,
            Self::V2s2 => MediaType::DOCKER_MANIFEST,
        }
    }

    /// The type of an index.
    #[must_use]
    pub const fn index(self) -> &'static str {
        match self {
            Self::Oci => MediaType::OCI_INDEX,
            Self::V2s2 => MediaType::DOCKER_LIST,
        }
    }

    const fn config(self) -> &'static str {
        match self {
            Self::Oci => MediaType::OCI_CONFIG,
            Self::V2s2 => MediaType::DOCKER_CONFIG,
        }
    }

    /// The format of a manifest's type, where it is one of the two.
    pub(super) fn of(media_type: &MediaType) -> Option<Self> {
        [Self::Oci, Self::V2s2]
            .into_iter()
            .find(|format| [format.image(), format.index()].contains(&media_type.as_str()))
    }

    /// The type in this format of a manifest that is an image or an index in either.
    pub(super) fn counterpart(self, kind: Kind) -> Option<&'static str> {
        match kind {
            Kind::Image => Some(self.image()),
            Kind::Index => Some(self.index()),
            Kind::Other => None,
        }
    }
}

/// Whether a manifest is an image that runs: such images can be converted and their layers repacked. Artifacts cannot.
pub(super) fn is_image(manifest: &Manifest) -> bool {
    let config = manifest.config.as_ref().map(|config| config.media_type.as_str());
    manifest.kind == Kind::Image
        && ManifestFormat::of(&manifest.media_type).is_some()
        && matches!(config, Some(MediaType::OCI_CONFIG | MediaType::DOCKER_CONFIG))
}

/// The type that a layer has in `format`, its packing and encryption apart.
///
/// # Errors
/// If it has none there.
pub(super) fn layer_type(layer: &MediaType, format: ManifestFormat) -> Result<MediaType> {
    let parsed = LayerType::parse(layer).ok_or_else(|| {
        Error::Unsupported(format!("unknown media type during manifest conversion: {:?}", layer.as_str()))
    })?;
    LayerType { format, ..parsed }.media_type()
}

/// Asserts that an image with these layers can be converted to `format`.
///
/// # Errors
/// As [`image`].
pub(super) fn check(from: &Manifest, format: ManifestFormat, layers: &[Descriptor]) -> Result<()> {
    image(from, format, layers).map(drop)
}

/// Writes an image's manifest in `format`, with these layers in place of its own.
///
/// # Errors
/// If it cannot be said in that format.
pub(super) fn image(from: &Manifest, format: ManifestFormat, layers: &[Descriptor]) -> Result<RawManifest> {
    let Some(config) = from.config.as_ref().filter(|_| is_image(from)) else {
        return Err(Error::Unsupported(format!(
            "this is no image that could be converted to {}: an artifact of type {}",
            format.image(),
            from.referrer_type().unwrap_or(&from.media_type)
        )));
    };
    let config = Descriptor { media_type: format.config().into(), ..config.clone() };
    let layers = layers
        .iter()
        .map(|layer| Ok(Descriptor { media_type: layer_type(&layer.media_type, format)?, ..layer.clone() }))
        .collect::<Result<Vec<_>>>()?;
    let kept = ManifestFormat::of(&from.media_type) == Some(format);
    match format {
        ManifestFormat::V2s2 => write(
            format.image(),
            &Schema2 {
                schema_version: 2,
                media_type: format.image(),
                config: Short::of(&config),
                layers: layers.iter().map(Short::of).collect(),
            },
        ),
        ManifestFormat::Oci => write(
            format.image(),
            &OciImage {
                schema_version: 2,
                media_type: format.image(),
                artifact_type: from.artifact_type.as_ref().filter(|_| kept),
                config: Full::of(&config, kept),
                layers: layers.iter().map(|layer| Full::of(layer, true)).collect(),
                subject: from.subject.as_ref().filter(|_| kept).map(|subject| Full::of(subject, true)),
                annotations: kept.then_some(&from.annotations).filter(|annotations| !annotations.is_empty()),
            },
        ),
    }
}

/// Writes an index in `format`, with these entries in place of its own.
///
/// # Errors
/// If the manifest cannot be written, which valid descriptors always can.
pub(super) fn index(from: &Manifest, format: ManifestFormat, entries: &[Descriptor]) -> Result<RawManifest> {
    let kept = ManifestFormat::of(&from.media_type) == Some(format);
    match format {
        ManifestFormat::V2s2 => write(
            format.index(),
            &List {
                schema_version: 2,
                media_type: format.index(),
                manifests: entries.iter().map(Entry::of).collect(),
            },
        ),
        ManifestFormat::Oci => write(
            format.index(),
            &OciIndex {
                schema_version: 2,
                media_type: format.index(),
                artifact_type: from.artifact_type.as_ref(),
                manifests: entries.iter().map(|entry| Full::of(entry, kept)).collect(),
                subject: from.subject.as_ref().map(|subject| Full::of(subject, true)),
                annotations: Some(&from.annotations).filter(|annotations| !annotations.is_empty()),
            },
        ),
    }
}

fn write(media_type: &str, document: &impl Serialize) -> Result<RawManifest> {
    let fault = |fault: serde_json::Error| Error::Other {
        what: format!("writing a manifest of type {media_type}"),
        source: fault.into(),
    };
    let text = serde_json::to_string(document).map_err(fault)?;
    Ok(RawManifest::new(Bytes::from(as_go(&text)), Some(media_type.into())))
}

/// Go's encoder writes these characters as escapes; they stand in strings only, where both mean the same.
fn as_go(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Schema2<'a> {
    schema_version: u8,
    media_type: &'static str,
    config: Short<'a>,
    layers: Vec<Short<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Entry<'a>>,
}

/// Docker's descriptor, in Docker's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Short<'a> {
    media_type: &'a MediaType,
    size: u64,
    digest: &'a Digest,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    urls: &'a [String],
}

impl<'a> Short<'a> {
    fn of(from: &'a Descriptor) -> Self {
        Self { media_type: &from.media_type, size: from.size, digest: &from.digest, urls: &from.urls }
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    manifest: Short<'a>,
    platform: Platform,
}

impl<'a> Entry<'a> {
    fn of(from: &'a Descriptor) -> Self {
        let nowhere = || Platform {
            architecture: "unknown".to_owned(),
            os: "unknown".to_owned(),
            ..Platform::default()
        };
        Self { manifest: Short::of(from), platform: from.platform.clone().unwrap_or_else(nowhere) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OciImage<'a> {
    schema_version: u8,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a MediaType>,
    config: Full<'a>,
    layers: Vec<Full<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Full<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OciIndex<'a> {
    schema_version: u8,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a MediaType>,
    manifests: Vec<Full<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Full<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a BTreeMap<String, String>>,
}

/// OCI's descriptor, in the order of the specification's Go types.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    media_type: &'a MediaType,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    urls: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a MediaType>,
}

impl<'a> Full<'a> {
    /// `all` keeps what Docker's format does not have and a conversion from it cannot mean.
    fn of(from: &'a Descriptor, all: bool) -> Self {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let platform = from.platform.clone();
        Self {
            media_type: &from.media_type,
            digest: &from.digest,
            size: from.size,
            urls: &from.urls,
            annotations: &from.annotations,
            data: from.data.as_ref().filter(|_| all).map(|data| STANDARD.encode(data)),
            platform: if all { platform } else { platform.map(|p| Platform { features: Vec::new(), ..p }) },
            artifact_type: from.artifact_type.as_ref().filter(|_| all),
        }
    }
}

#[cfg(test)]
mod tests;
