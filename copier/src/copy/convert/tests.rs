use berth_oci::Algorithm;
use serde_json::{Value, json};

use super::*;

fn manifest(document: &Value) -> Manifest {
    Manifest::parse(serde_json::to_vec(document).unwrap().into(), None).unwrap()
}

fn blob(media_type: &str, content: &str) -> Value {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    json!({"mediaType": media_type, "digest": digest, "size": content.len()})
}

fn docker() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::DOCKER_MANIFEST,
        "config": blob(MediaType::DOCKER_CONFIG, "{}"),
        "layers": [
            blob(MediaType::DOCKER_LAYER_GZIP, "one"),
            blob("application/vnd.docker.image.rootfs.diff.tar", "two"),
            {
                "mediaType": MediaType::DOCKER_FOREIGN_LAYER, "size": 5, "urls": ["https://example.org/?a=1&b=<2>"],
                "digest": Digest::of(Algorithm::Sha256, b"three"),
            },
        ],
    })
}

#[test]
fn an_image_goes_to_the_other_format_and_back() {
    let from = manifest(&docker());
    let oci = image(&from, ManifestFormat::Oci, &from.layers).unwrap().parse().unwrap();
    let types: Vec<_> = oci.layers.iter().map(|layer| layer.media_type.as_str()).collect();
    assert_eq!(
        types,
        [
            MediaType::OCI_LAYER_GZIP,
            MediaType::OCI_LAYER,
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        ]
    );
    assert_eq!(oci.config.as_ref().unwrap().digest, from.config.as_ref().unwrap().digest);
    let back = image(&oci, ManifestFormat::V2s2, &oci.layers).unwrap().parse().unwrap();
    assert_eq!((back.layers, back.config, back.media_type), (from.layers, from.config, from.media_type));
}

#[test]
fn dockers_format_has_its_own_order_and_gos_escapes() {
    let from = manifest(&docker());
    let written = image(&from, ManifestFormat::V2s2, &from.layers).unwrap();
    let text = std::str::from_utf8(&written.raw).unwrap();
    let first = &from.layers[0];
    assert!(text.starts_with(
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",\"config\":{\"mediaType\":"
    ));
    assert!(text.contains(&format!(
        "{{\"mediaType\":\"{}\",\"size\":3,\"digest\":\"{}\"}}",
        first.media_type, first.digest
    )));
    assert!(text.contains("https://example.org/?a=1\\u0026b=\\u003c2\\u003e"));
}

#[test]
fn annotations_stay_in_oci_and_are_dropped_by_dockers_format() {
    let mut document = docker();
    document["mediaType"] = MediaType::OCI_MANIFEST.into();
    document["config"]["mediaType"] = MediaType::OCI_CONFIG.into();
    document["layers"] = json!([blob(MediaType::OCI_LAYER_GZIP, "one")]);
    document["layers"][0]["annotations"] = json!({"a": "b"});
    document["annotations"] = json!({"c": "d"});
    let from = manifest(&document);
    let same = image(&from, ManifestFormat::Oci, &from.layers).unwrap().parse().unwrap();
    assert_eq!((same.layers, same.annotations), (from.layers.clone(), from.annotations.clone()));
    let docker = image(&from, ManifestFormat::V2s2, &from.layers).unwrap().parse().unwrap();
    assert!(docker.annotations.is_empty() && docker.layers[0].annotations.is_empty());
}

#[test]
fn what_a_format_has_no_word_for_is_an_error() {
    for layer in [
        MediaType::OCI_LAYER_ZSTD,
        "application/vnd.in-toto+json",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    ] {
        let from = manifest(&json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": blob(MediaType::OCI_CONFIG, "{}"), "layers": [blob(layer, "one")],
        }));
        assert!(
            matches!(check(&from, ManifestFormat::V2s2, &from.layers), Err(Error::Unsupported(_))),
            "{layer}"
        );
    }
}

#[test]
fn an_index_goes_to_the_other_format_and_back() {
    let entry = |name: &str| {
        let mut entry = blob(MediaType::DOCKER_MANIFEST, name);
        entry["platform"] =
            json!({"architecture": "arm", "os": "linux", "variant": "v7", "features": ["sse4"]});
        entry
    };
    let list = manifest(&json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_LIST, "manifests": [entry("a"), entry("b")],
    }));
    let oci = index(&list, ManifestFormat::Oci, &list.manifests).unwrap().parse().unwrap();
    assert_eq!(oci.media_type.as_str(), MediaType::OCI_INDEX);
    let platform = oci.manifests[1].platform.as_ref().unwrap();
    assert_eq!((platform.variant.as_deref(), platform.features.len()), (Some("v7"), 0));
    let back = index(&oci, ManifestFormat::V2s2, &oci.manifests).unwrap().parse().unwrap();
    assert_eq!(back.manifests[0].digest, list.manifests[0].digest);
}

#[test]
fn an_entry_without_a_platform_runs_nowhere_in_dockers_list() {
    let from = manifest(&json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [blob(MediaType::OCI_MANIFEST, "a")],
    }));
    let list = index(&from, ManifestFormat::V2s2, &from.manifests).unwrap().parse().unwrap();
    assert_eq!(list.manifests[0].platform.as_ref().unwrap().to_string(), "unknown/unknown");
}
