//! Artifacts, and what refers to something else.

use berth_oci::{Algorithm, MediaType};
use serde_json::{Value, json};

use super::{
    builder::{Builder, DataSet, random},
    images::{hex, index_of, manifest, two_platforms},
};

/// Artifact types that nobody else uses.
pub(crate) const TYPE_A: &str = "application/vnd.example.berth.a.v1";
pub(crate) const TYPE_B: &str = "application/vnd.example.berth.b.v1+json";

/// Annotations that make a manifest unlike any other.
fn unique() -> Value {
    json!({"org.example.unique": hex(&random(8)), "org.opencontainers.image.created": "2026-01-01T00:00:00Z"})
}

/// The body of an artifact's manifest with an empty config.
fn artifact_body(builder: &mut Builder, artifact_type: &str, layers: &[Value]) -> Value {
    let empty = builder.blob(MediaType::OCI_EMPTY, "{}");
    let mut body = manifest(&empty, layers);
    body["artifactType"] = artifact_type.into();
    body["annotations"] = unique();
    body
}

fn add_artifact(builder: &mut Builder, artifact_type: &str) -> Value {
    let layer = builder.random_blob("application/octet-stream", 300);
    artifact_body(builder, artifact_type, &[layer])
}

fn add_image(builder: &mut Builder) -> Value {
    let config = super::images::config(builder, "amd64", 1);
    let layer = builder.random_blob(MediaType::OCI_LAYER_GZIP, 800);
    manifest(&config, &[layer])
}

pub(super) fn artifact(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let body = add_artifact(&mut builder, TYPE_A);
    builder.manifest(&body);
    builder.finish()
}

pub(super) fn artifact_no_layers(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let empty = builder.blob(MediaType::OCI_EMPTY, "{}");
    let body = artifact_body(&mut builder, TYPE_A, &[empty]);
    builder.manifest(&body);
    builder.finish()
}

pub(super) fn artifact_index(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let children = [TYPE_A, TYPE_B].map(|artifact_type| {
        let body = add_artifact(&mut builder, artifact_type);
        let mut child = builder.manifest(&body);
        child["artifactType"] = artifact_type.into();
        child
    });
    let mut body = index_of(&children);
    body["artifactType"] = TYPE_B.into();
    builder.manifest(&body);
    builder.finish()
}

/// An image; then an image, an artifact of either type, each with the first as its subject.
pub(super) fn subject(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let body = add_image(&mut builder);
    let subject = builder.manifest(&body);
    let mut bodies = vec![add_image(&mut builder)];
    bodies.extend([TYPE_A, TYPE_B].map(|artifact_type| add_artifact(&mut builder, artifact_type)));
    for mut body in bodies {
        body["subject"] = subject.clone();
        builder.manifest(&body);
    }
    builder.finish()
}

/// An index; then one with an artifact type and one without, each with the first as its subject.
pub(super) fn index_subject(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let body = two_platforms(&mut builder);
    let subject = builder.manifest(&body);
    let mut typed = index_of(&[]);
    typed["artifactType"] = TYPE_A.into();
    for mut body in [typed, index_of(&[])] {
        body["annotations"] = unique();
        body["subject"] = subject.clone();
        builder.manifest(&body);
    }
    builder.finish()
}

pub(super) fn missing_subject(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let mut body = add_artifact(&mut builder, TYPE_A);
    body["subject"] = builder.absent(MediaType::OCI_MANIFEST, 123);
    builder.manifest(&body);
    builder.finish()
}

/// What buildx exports with `mode=max`: an index whose children are layers and a config.
pub(super) fn buildx_cache(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let mut children = vec![builder.random_blob(MediaType::OCI_LAYER_GZIP, 600)];
    children.push(builder.random_blob(MediaType::OCI_LAYER_ZSTD, 400));
    let config =
        json!({"layers": [{"blob": children[0]["digest"], "parent": -1}], "records": [hex(&random(8))]});
    children.push(builder.blob("application/vnd.buildkit.cacheconfig.v0", config.to_string()));
    builder.manifest(&index_of(&children));
    builder.finish()
}

pub(super) fn helm(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let chart =
        json!({"name": "web", "version": "1.0.0", "apiVersion": "v2", "description": hex(&random(8))});
    let config = builder.blob("application/vnd.cncf.helm.config.v1+json", chart.to_string());
    let layers = [
        builder.random_blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", 900),
        builder.random_blob("application/vnd.cncf.helm.chart.provenance.v1.prov", 200),
    ];
    let mut body = manifest(&config, &layers);
    body["annotations"] = unique();
    builder.manifest(&body);
    builder.finish()
}

pub(super) fn cosign(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let image = add_image(&mut builder);
    let image = builder.manifest(&image);
    let config = super::images::config(&mut builder, "", 1);
    let signed = json!({"critical": {"image": {"docker-manifest-digest": image["digest"]}}});
    let mut layer = builder.blob("application/vnd.dev.cosign.simplesigning.v1+json", signed.to_string());
    layer["annotations"] = json!({"dev.cosignproject.cosign/signature": hex(&random(32))});
    builder.manifest(&manifest(&config, &[layer]));
    builder.finish()
}

pub(super) fn wasm(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let config = builder.blob(
        "application/vnd.wasm.config.v0+json",
        json!({"created": "2026-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip2", "x": hex(&random(8))})
            .to_string(),
    );
    let layer = builder.random_blob("application/wasm", 640);
    builder.manifest(&manifest(&config, &[layer]));
    builder.finish()
}
