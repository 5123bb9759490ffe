//! Images that are made here: of a container, of a tar.

use berth_copier::copy::platform;
use berth_oci::{Descriptor, Digest, MediaType, Platform};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{changes, config::Outline, source::Stored};
use crate::{
    error::{Result, RunnerError},
    store::{Image, Store},
};

/// A layer that was just put into the store.
#[derive(Clone, Debug)]
pub(crate) struct NewLayer {
    /// Digest of its tar.
    pub(crate) diff_id: Digest,
    /// Bytes of its tar.
    pub(crate) size: u64,
}

/// What an image that is made here says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// `--change`.
    pub(crate) changes: Vec<String>,
    /// `--author`.
    pub(crate) author: Option<String>,
    /// `--message`.
    pub(crate) message: Option<String>,
    /// What made the layer, for the history.
    pub(crate) created_by: String,
    /// For an image without a base; `None` is this machine's.
    pub(crate) platform: Option<Platform>,
    /// `--format docker`.
    pub(crate) docker: bool,
}

/// Adds a layer over a base (or over nothing) and makes an image of it.
///
/// # Errors
/// [`RunnerError::Usage`] for a change that cannot be meant; where the store cannot be written.
pub(crate) fn make(
    store: &Store,
    base: Option<&Image>,
    layer: &NewLayer,
    about: &About,
    names: &[String],
    now: Timestamp,
) -> Result<Image> {
    let (mut config, mut layers) = match base {
        Some(base) => {
            let stored = Stored::read(store, base)?;
            let config: Value = serde_json::from_slice(&stored.config).map_err(|fault| {
                RunnerError::Content(format!("the configuration of image {} is damaged: {fault}", base.id))
            })?;
            (config, stored.parsed.layers)
        }
        None => (empty_config(about), Vec::new()),
    };
    for layer in &mut layers {
        layer.media_type = in_family(&layer.media_type, about.docker)?;
    }
    let plain = if about.docker { DOCKER_LAYER } else { MediaType::OCI_LAYER };
    layers.push(Descriptor::new(MediaType::new(plain), layer.diff_id.clone(), layer.size));
    change(&mut config, layer, about, now)?;

    let config = written(&config)?;
    // What cannot be read again is not written.
    Outline::parse(&config)?.check_layers("what would be made")?;
    let digest = store.put_blob(&config)?;
    let (config_type, manifest_type) = if about.docker {
        (MediaType::DOCKER_CONFIG, MediaType::DOCKER_MANIFEST)
    } else {
        (MediaType::OCI_CONFIG, MediaType::OCI_MANIFEST)
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": Descriptor::new(MediaType::new(config_type), digest, config.len() as u64),
        "layers": layers,
    });
    let manifest = store.put_blob(&written(&manifest)?)?;
    store.add_image(&manifest, names)
}

/// Docker's type of layers that are not compressed.
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// The type of a layer in the manifests of OCI, or of Docker.
fn in_family(media_type: &MediaType, docker: bool) -> Result<MediaType> {
    let text = media_type.as_str();
    let stem = |stems: [&str; 2]| stems.iter().find_map(|stem| text.strip_prefix(stem)).map(str::to_owned);
    let packing = stem([DOCKER_LAYER, MediaType::OCI_LAYER]).map(|packing| packing.replace('.', "+"));
    let Some(packing) = packing else {
        return Err(RunnerError::Unsupported(format!(
            "the base has a layer of type {text}, on which no image can be made here"
        )));
    };
    match (docker, packing.as_str()) {
        (true, "+zstd") => Err(RunnerError::Unsupported(
            "the base has zstd layers, for which Docker's format has no word: leave --format docker out"
                .into(),
        )),
        (true, packing) => Ok(MediaType::new(&format!("{DOCKER_LAYER}{}", packing.replace('+', ".")))),
        (false, packing) => Ok(MediaType::new(&format!("{}{packing}", MediaType::OCI_LAYER))),
    }
}

fn empty_config(about: &About) -> Value {
    let host = platform::host();
    let asked = about.platform.clone().unwrap_or_default();
    let or = |asked: String, host: &str| if asked.is_empty() { host.to_owned() } else { asked };
    let mut config = json!({
        "architecture": or(asked.architecture, &host.architecture),
        "os": or(asked.os, &host.os),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [],
    });
    if let Some(variant) = asked.variant {
        config["variant"] = variant.into();
    }
    config
}

fn change(config: &mut Value, layer: &NewLayer, about: &About, now: Timestamp) -> Result<()> {
    let damaged = || RunnerError::Content("the base's configuration is damaged".into());
    let created = now.to_string();
    let document = config.as_object_mut().ok_or_else(damaged)?;
    document.insert("created".into(), created.clone().into());
    // They spoke of the container that the base was made of.
    for key in ["container", "container_config", "id", "parent"] {
        document.remove(key);
    }
    if let Some(author) = &about.author {
        document.insert("author".into(), author.clone().into());
    }
    if about.docker
        && let Some(message) = &about.message
    {
        document.insert("comment".into(), message.clone().into());
    }
    let inner = document.entry("config").or_insert_with(|| json!({}));
    if inner.is_null() {
        *inner = json!({});
    }
    let inner = inner.as_object_mut().ok_or_else(damaged)?;
    for instruction in &about.changes {
        changes::apply(inner, instruction)?;
    }
    let mut entry = Map::new();
    entry.insert("created".into(), created.into());
    entry.insert("created_by".into(), about.created_by.clone().into());
    if let Some(author) = &about.author {
        entry.insert("author".into(), author.clone().into());
    }
    if let Some(message) = &about.message {
        entry.insert("comment".into(), message.clone().into());
    }
    let history = document.entry("history").or_insert_with(|| json!([]));
    if history.is_null() {
        *history = json!([]);
    }
    history.as_array_mut().ok_or_else(damaged)?.push(Value::Object(entry));
    let diff_ids = document.get_mut("rootfs").and_then(|rootfs| rootfs.get_mut("diff_ids"));
    let diff_ids = diff_ids.and_then(Value::as_array_mut).ok_or_else(damaged)?;
    diff_ids.push(layer.diff_id.to_string().into());
    Ok(())
}

fn written(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|fault| RunnerError::Content(format!("writing JSON: {fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_types_go_from_family_to_family() {
        let gzip: MediaType = MediaType::DOCKER_LAYER_GZIP.into();
        assert_eq!(in_family(&gzip, false).unwrap().as_str(), MediaType::OCI_LAYER_GZIP);
        let gzip: MediaType = MediaType::OCI_LAYER_GZIP.into();
        assert_eq!(in_family(&gzip, true).unwrap().as_str(), MediaType::DOCKER_LAYER_GZIP);
        assert_eq!(in_family(&gzip, false).unwrap(), gzip);
        assert!(in_family(&MediaType::OCI_LAYER_ZSTD.into(), true).is_err());
        assert!(in_family(&"text/plain".into(), false).is_err());
    }

    #[test]
    fn a_layer_is_added_to_the_configuration_and_its_history() {
        let diff_id: Digest = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
        let layer = NewLayer { diff_id: diff_id.clone(), size: 1024 };
        let about = About {
            changes: vec!["USER nobody".into()],
            message: Some("why".into()),
            created_by: "sh".into(),
            ..About::default()
        };
        let mut config = json!({"config": null, "rootfs": {"diff_ids": []}, "history": null, "container": "x", "x-own": 1});
        change(&mut config, &layer, &about, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            config,
            json!({
                "created": "1970-01-01T00:00:00Z",
                "config": {"User": "nobody"},
                "rootfs": {"diff_ids": [diff_id.as_str()]},
                "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "sh", "comment": "why"}],
                "x-own": 1,
            })
        );
    }
}
