//! One image, found through the indexes above it.

use std::collections::HashSet;

use berth_oci::{
    Algorithm, Digest, Manifest, MediaType, Platform, Tag, Verifier,
    manifest::{Kind, MAX_INDEX_DEPTH},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::{
    Field, Time, Value,
    config::{self, Config},
};
use crate::{Error, RawManifest, Result, Source, copy, error::ResultExt};

/// The most that a configuration may be long, in bytes.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;

/// What a name means, and the image that it means on one platform.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The name's own manifest: an index, or the image's.
    pub top: RawManifest,
    image: Manifest,
    digest: Digest,
}

impl Inspected {
    /// Finds the image for the best of the `wanted` platforms in what the name means. Indexes inside of indexes are
    /// followed, at most 20 deep and none twice.
    ///
    /// # Errors
    /// `Error::Manifest` for what is no manifest, `Error::NotFound` where no platform fits, `Error::Unsupported` for
    /// artifacts, and as the source.
    pub async fn find(source: &dyn Source, top: RawManifest, wanted: &[Platform]) -> Result<Self> {
        let mut seen = HashSet::new();
        let (mut digest, mut image) = (top.digest.clone(), top.parse()?);
        while image.kind == Kind::Index {
            if !seen.insert(digest.clone()) || seen.len() > MAX_INDEX_DEPTH {
                let fault = format!(
                    "index {digest}: indexes that contain each other, or more than {MAX_INDEX_DEPTH} of them"
                );
                return Err(Error::Integrity(fault));
            }
            let entry = copy::platform::choose(&image, wanted, &source.name().to_string())
                .context("choosing image instance")?;
            digest = entry.digest.clone();
            image = source.manifest(Some(&digest)).await?.parse()?;
        }
        Ok(Self { top, image, digest })
    }

    /// The configuration's bytes, verified.
    ///
    /// # Errors
    /// `Error::Unsupported` for artifacts, `Error::Verify` for other bytes, and as the source.
    pub async fn raw_config(&self, source: &dyn Source) -> Result<Bytes> {
        let config = match &self.image.config {
            Some(config) if is_image(&config.media_type) => config,
            config => {
                let kind = config.as_ref().map_or(&self.image.media_type, |config| &config.media_type);
                return Err(Error::Unsupported(format!(
                    "unsupported image-specific operation on artifact with type \"{kind}\"; `--raw` shows its manifest"
                )));
            }
        };
        if let Some(data) = &config.data {
            return Ok(data.clone());
        }
        if config.size > MAX_CONFIG {
            return Err(Error::Integrity(format!(
                "the configuration {} has {} bytes, and more than {MAX_CONFIG} are not read",
                config.digest, config.size
            )));
        }
        let mut verifier = Verifier::of(config);
        let mut pieces = source.blob(config).await?.open(0).await?;
        let mut whole = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            if let Some(sound) = verifier.push(piece?)? {
                whole.extend_from_slice(&sound);
            }
        }
        verifier.finish()?;
        Ok(whole.freeze())
    }

    /// The configuration with the fields that OCI knows (`--config`).
    ///
    /// # Errors
    /// As [`Self::raw_config`], and for what is no configuration.
    pub async fn config(&self, source: &dyn Source) -> Result<Value> {
        let raw = self.raw_config(source).await?;
        Config::parse(&raw).and_then(|config| config.value()).map_err(|fault| self.no_config(&fault))
    }

    /// The summary that Skopeo shows. `tags` are those of the repository, `algorithm` is that of the shown digest.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn summary(
        &self,
        source: &dyn Source,
        config: &[u8],
        tags: &[Tag],
        algorithm: Algorithm,
    ) -> Result<Value> {
        let docker = self.image.media_type.as_str() == MediaType::DOCKER_MANIFEST;
        let config = Config::parse(config).map_err(|fault| self.no_config(&fault))?;
        let created = match config::time(config.created.as_ref()).map_err(|fault| self.no_config(&fault))? {
            // Docker's form has a time always; the beginning of the calendar where none was given.
            Value::Nothing if docker => {
                Time::parse("0001-01-01T00:00:00Z").map_or(Value::Nothing, Value::Time)
            }
            created => created,
        };
        let digest = if self.top.digest.algorithm() == algorithm {
            self.top.digest.clone()
        } else {
            Digest::of(algorithm, &self.top.raw)
        };
        let execution = config.config.as_ref();
        let name =
            source.name().reference().map(|reference| format!("{}/{}", reference.host(), reference.name()));
        let layers = &self.image.layers;
        Ok(Value::fields([
            Field::optional("Name", "Name", config::text(&name)),
            Field::optional("Tag", "Tag", Value::text("")),
            Field::new("Digest", Value::text(digest.as_str())),
            Field::new("RepoTags", Value::texts(tags.iter().map(Tag::as_str))),
            Field::new("Created", created),
            Field::new("DockerVersion", config::text(&config.docker_version)),
            Field::new("Labels", config::labels(execution.and_then(|config| config.labels.as_ref()))),
            Field::new("Architecture", config::text(&config.architecture)),
            Field::optional("Variant", "Variant", config::text(&config.variant)),
            Field::new("Os", config::text(&config.os)),
            Field::new("Layers", Value::texts(layers.iter().map(|layer| layer.digest.as_str()))),
            Field::optional("LayersData", "LayersData", Value::list(layers.iter().map(layer))),
            Field::new("Env", config::texts(execution.and_then(|config| config.env.as_ref()))),
        ]))
    }

    fn no_config(&self, fault: &str) -> Error {
        Error::Integrity(format!("the configuration of {}: {fault}", self.digest))
    }
}

fn is_image(config: &MediaType) -> bool {
    matches!(config.as_str(), MediaType::OCI_CONFIG | MediaType::DOCKER_CONFIG)
}

fn layer(layer: &berth_oci::Descriptor) -> Value {
    let annotations = (!layer.annotations.is_empty()).then_some(&layer.annotations);
    Value::fields([
        Field::new("MIMEType", Value::text(layer.media_type.as_str())),
        Field::new("Digest", Value::text(layer.digest.as_str())),
        Field::new("Size", Value::Int(i64::try_from(layer.size).unwrap_or(i64::MAX))),
        Field::new("Annotations", config::labels(annotations)),
    ])
}
