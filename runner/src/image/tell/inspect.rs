//! Everything about an image, in podman's shape.

use berth_oci::Manifest;
use serde_json::{Value as Json, json};

use super::{config, digests, tags};
use crate::{
    cli::output::{self, Value},
    error::{Result, RunnerError},
    store::{Image, Store},
};

/// What `inspect` prints of an image.
///
/// # Errors
/// Where its manifest or configuration cannot be read.
pub(crate) fn inspected(store: &Store, image: &Image) -> Result<Value> {
    let all = config(store, image)?;
    let manifest = Manifest::parse(store.blob(&image.manifest)?.into(), None)
        .map_err(|fault| RunnerError::Content(format!("manifest {}: {fault}", image.manifest)))?;
    let inner = |key: &str| all["config"].get(key).cloned().unwrap_or(Json::Null);
    let text = |key: &str| all[key].as_str().unwrap_or_default().to_owned();
    let comment = all["history"].as_array().and_then(|steps| steps.last()?["comment"].as_str());
    // As Go leaves out what is empty.
    let present = [
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Volumes",
        "WorkingDir",
        "Labels",
        "StopSignal",
        "OnBuild",
    ];
    let kept = present.iter().map(|key| (*key, inner(key))).filter(|(_, value)| !is_empty(value));
    let config: serde_json::Map<String, Json> = kept.map(|(key, value)| (key.to_owned(), value)).collect();
    let mut told = json!({
        "Id": image.id.hex(),
        "Digest": image.manifest,
        "RepoTags": tags(image),
        "RepoDigests": digests(image),
        "Parent": "",
        "Comment": text("comment"),
        "Created": all["created"],
        "Config": config,
        "Version": text("docker_version"),
        "Author": text("author"),
        "Architecture": text("architecture"),
        "Os": text("os"),
        "Size": image.size,
        "VirtualSize": image.size,
        "GraphDriver": {"Name": "overlay", "Data": {}},
        "RootFS": {"Type": "layers", "Layers": image.layers},
        "Labels": inner("Labels"),
        "Annotations": manifest.annotations,
        "ManifestType": manifest.media_type,
        "User": inner("User").as_str().unwrap_or_default(),
        "History": all["history"],
        "NamesHistory": image.names,
        "Pulled": image.pulled.to_string(),
    });
    if told["Comment"] == ""
        && let Some(comment) = comment
    {
        told["Comment"] = comment.into();
    }
    if !is_empty(&all["variant"]) {
        told["Variant"] = all["variant"].clone();
    }
    let health = inner("Healthcheck");
    if !is_empty(&health) {
        told["HealthCheck"] = health;
    }
    output::value(&told)
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(list) => list.is_empty(),
        Json::Object(map) => map.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}
