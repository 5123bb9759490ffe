//! Images and indexes.

use berth_oci::{Algorithm, MediaType};
use serde_json::{Value, json};

use super::builder::{Builder, DataSet, random};

pub(super) const NON_DISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

/// Configuration blob of an image for `architecture`.
pub(super) fn config(builder: &mut Builder, architecture: &str, layers: usize) -> Value {
    let diff_ids: Vec<String> = (0..layers).map(|_| format!("sha256:{}", hex(&random(32)))).collect();
    let body = json!({
        "architecture": architecture, "os": "linux", "config": {"Env": ["A=b"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": hex(&random(8))}],
    });
    builder.blob(MediaType::OCI_CONFIG, body.to_string())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole image; gives the manifest's descriptor.
fn add_image(builder: &mut Builder, architecture: &str, layer_type: &str) -> Value {
    let config = config(builder, architecture, 2);
    let layers = [builder.random_blob(layer_type, 2048), builder.random_blob(layer_type, 700)];
    builder.manifest(&manifest(&config, &layers))
}

pub(super) fn manifest(config: &Value, layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": layers})
}

pub(super) fn index_of(children: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": children})
}

fn with_platform(mut descriptor: Value, architecture: &str) -> Value {
    descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
    descriptor
}

/// Two images and the body of their index.
pub(super) fn two_platforms(builder: &mut Builder) -> Value {
    let children = ["amd64", "arm64"].map(|architecture| {
        let image = add_image(builder, architecture, MediaType::OCI_LAYER_GZIP);
        with_platform(image, architecture)
    });
    index_of(&children)
}

fn single(algorithm: Algorithm, layer_type: &str) -> DataSet {
    let mut builder = Builder::new(algorithm);
    add_image(&mut builder, "amd64", layer_type);
    builder.finish()
}

pub(super) fn image(algorithm: Algorithm) -> DataSet {
    single(algorithm, MediaType::OCI_LAYER_GZIP)
}

pub(super) fn image_uncompressed(algorithm: Algorithm) -> DataSet {
    single(algorithm, MediaType::OCI_LAYER)
}

pub(super) fn image_zstd(algorithm: Algorithm) -> DataSet {
    single(algorithm, MediaType::OCI_LAYER_ZSTD)
}

pub(super) fn index(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let body = two_platforms(&mut builder);
    builder.manifest(&body);
    builder.finish()
}

pub(super) fn nested_index(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let children = [(); 2].map(|()| {
        let body = two_platforms(&mut builder);
        builder.manifest(&body)
    });
    builder.manifest(&index_of(&children));
    builder.finish()
}

pub(super) fn empty_index(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let mut body = index_of(&[]);
    // Without something of its own it would be the same index everywhere.
    body["annotations"] = json!({"org.example.unique": hex(&random(8))});
    builder.manifest(&body);
    builder.finish()
}

pub(super) fn sparse_index(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let here = add_image(&mut builder, "amd64", MediaType::OCI_LAYER_GZIP);
    let absent = builder.absent(MediaType::OCI_MANIFEST, 1024);
    let children = [with_platform(here, "amd64"), with_platform(absent, "arm64")];
    builder.manifest(&index_of(&children));
    builder.finish_sparse()
}

pub(super) fn sparse_image(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let config = config(&mut builder, "amd64", 2);
    let absent = builder.absent(MediaType::OCI_LAYER_GZIP, 512);
    let layers = [absent, builder.random_blob(MediaType::OCI_LAYER_GZIP, 512)];
    builder.manifest(&manifest(&config, &layers));
    builder.finish_sparse()
}

pub(super) fn no_layers(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let config = config(&mut builder, "amd64", 0);
    builder.manifest(&manifest(&config, &[]));
    builder.finish()
}

pub(super) fn empty_blob(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let config = config(&mut builder, "amd64", 1);
    let layers = [builder.blob(MediaType::OCI_LAYER, Vec::new())];
    builder.manifest(&manifest(&config, &layers));
    builder.finish()
}

pub(super) fn non_distributable(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let config = config(&mut builder, "amd64", 3);
    let mut elsewhere = [
        builder.absent(NON_DISTRIBUTABLE, 123_456),
        builder.absent(NON_DISTRIBUTABLE.trim_end_matches("+gzip"), 12_345),
    ];
    for layer in &mut elsewhere {
        layer["urls"] = json!(["https://layers.example/blob"]);
    }
    let here = builder.random_blob(MediaType::OCI_LAYER_GZIP, 900);
    let [first, second] = elsewhere;
    builder.manifest(&manifest(&config, &[first, second, here]));
    builder.finish()
}

pub(super) fn data_field(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    builder.inline = true;
    let body = two_platforms(&mut builder);
    builder.manifest(&body);
    builder.finish()
}

pub(super) fn custom_fields(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let config = builder.blob(
        MediaType::OCI_CONFIG,
        json!({"architecture": "amd64", "os": "linux", "org.example.custom": hex(&random(8)),
            "rootfs": {"type": "layers", "diff_ids": []}})
        .to_string(),
    );
    let mut layer = builder.random_blob(MediaType::OCI_LAYER_GZIP, 512);
    layer["org.example.layer"] = json!({"deep": [1, 2.5, null, "x"]});
    let mut body = manifest(&config, &[layer]);
    body["org.example.custom"] = json!([{"a": true}, hex(&random(8))]);
    let mut image = with_platform(builder.manifest(&body), "amd64");
    image["org.example.child"] = json!(1e3);
    let mut body = index_of(&[image]);
    body["org.example.index"] = json!({"signatures": []});
    builder.manifest(&body);
    builder.finish()
}

pub(super) fn verbatim(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let config = config(&mut builder, "amd64", 1);
    let layer = builder.random_blob(MediaType::OCI_LAYER_GZIP, 512);
    let body = manifest(&config, std::slice::from_ref(&layer));
    // Reversed order, tabs, carriage returns, escapes of plain letters and a newline at the end:
    // a registry that parses and renders would lose each of them.
    let text = format!(
        "\r\n{{\t\"layers\" :\r\n[ {layer} ],\n\n \"annotations\":{{\"org.ex\\u0061mple\\/é\":\"\\u00e9 \\ud83d\\ude00\"}},\
         \"config\":{config} ,\"mediaType\":\"{}\",\"schemaVersion\":2\t}}\n\n",
        MediaType::OCI_MANIFEST
    );
    builder.manifest_bytes(MediaType::OCI_MANIFEST, &body, text);
    builder.finish()
}

pub(super) fn large_manifest(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let config = config(&mut builder, "amd64", 1);
    let layer = builder.random_blob(MediaType::OCI_LAYER_GZIP, 512);
    let mut body = manifest(&config, &[layer]);
    let filler = "B".repeat(10_000);
    for number in 0..390 {
        body["annotations"][format!("org.example.large.{number}")] = filler.as_str().into();
    }
    builder.manifest(&body);
    builder.finish()
}

fn add_docker(builder: &mut Builder, architecture: &str) -> Value {
    let mut config = config(builder, architecture, 1);
    config["mediaType"] = MediaType::DOCKER_CONFIG.into();
    let layer = builder.random_blob(MediaType::DOCKER_LAYER_GZIP, 1024);
    builder.manifest(&json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST, "config": config, "layers": [layer],
    }))
}

pub(super) fn docker_image(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    add_docker(&mut builder, "amd64");
    builder.finish()
}

pub(super) fn docker_list(algorithm: Algorithm) -> DataSet {
    let mut builder = Builder::new(algorithm);
    let children = ["amd64", "arm64"].map(|architecture| {
        let image = add_docker(&mut builder, architecture);
        with_platform(image, architecture)
    });
    builder.manifest(&json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_LIST, "manifests": children,
    }));
    builder.finish()
}
