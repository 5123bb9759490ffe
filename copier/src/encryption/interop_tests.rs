//! Layouts that the installed skopeo encrypts and decrypts.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use berth_oci::{Algorithm, Digest};
use serde_json::{Value, json};

use super::{
    tests::{encrypt, folder, keys},
    *,
};
use crate::compression::tests::{Pieces, read, text, through};

fn skopeo(arguments: &[&str]) -> Output {
    Command::new("skopeo").arg("--insecure-policy").args(arguments).output().unwrap()
}

fn succeeds(arguments: &[&str]) {
    let output = skopeo(arguments);
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn put(layout: &Path, bytes: &[u8]) -> (String, usize) {
    let digest = Digest::of(Algorithm::Sha256, bytes);
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    (digest.to_string(), bytes.len())
}

/// Writes a layout with one image, named `x`, of these layers: type, bytes, annotations.
fn layout(path: &Path, plain: &[Vec<u8>], layers: Vec<(&str, Vec<u8>, BTreeMap<String, String>)>) {
    let diff_ids: Vec<_> = plain.iter().map(|plain| Digest::of(Algorithm::Sha256, plain)).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let (digest, size) = put(path, config.to_string().as_bytes());
    let layers: Vec<Value> = layers
        .into_iter()
        .map(|(media_type, bytes, annotations)| {
            let (digest, size) = put(path, &bytes);
            json!({"mediaType": media_type, "digest": digest, "size": size, "annotations": annotations})
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "layers": layers,
        "config": {"mediaType": MediaType::OCI_CONFIG, "digest": digest, "size": size},
    });
    let (digest, size) = put(path, manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": MediaType::OCI_MANIFEST, "digest": digest, "size": size,
        "annotations": {"org.opencontainers.image.ref.name": "x"},
    }]});
    fs::write(path.join("index.json"), index.to_string()).unwrap();
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn blob(layout: &Path, digest: &Value) -> Vec<u8> {
    let hex = digest.as_str().unwrap().trim_start_matches("sha256:");
    fs::read(layout.join("blobs/sha256").join(hex)).unwrap()
}

fn layers(layout: &Path) -> Vec<Value> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(layout, &index["manifests"][0]["digest"])).unwrap();
    manifest["layers"].as_array().unwrap().clone()
}

fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, bytes).unwrap();
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn skopeo_decrypts_what_we_encrypt() {
    let (_guard, folder) = folder();
    for (recipients, key) in [
        (&["rsa"][..], "rsa"),
        (&["p256"], "p256"),
        (&["p521"], "p521"),
        (&["p384", "rsa", "p256"], "rsa"),
        (&["p384", "rsa", "p256"], "p384"),
    ] {
        let plain = vec![tar("a", &text(200_000, 1)), tar("b", b"")];
        let mut made = Vec::new();
        let mut packed = Vec::new();
        for plain in &plain {
            let gzip = through("gzip", &["-nc"], plain);
            let (encrypted, annotations) = encrypt(&gzip, recipients).await;
            made.push(("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", encrypted, annotations));
            packed.push(gzip);
        }
        let name = format!("{}-{key}", recipients.len());
        let (ours, theirs) = (folder.join(format!("{name}-ours")), folder.join(format!("{name}-theirs")));
        layout(&ours, &plain, made);
        let (from, to) = (format!("oci:{}:x", ours.display()), format!("oci:{}:x", theirs.display()));
        succeeds(&["copy", "--decryption-key", &keys().path(key), &from, &to]);
        for (layer, packed) in layers(&theirs).iter().zip(&packed) {
            assert_eq!(layer["mediaType"], MediaType::OCI_LAYER_GZIP);
            assert!(blob(&theirs, &layer["digest"]) == *packed);
        }
        let refused = skopeo(&["copy", "--decryption-key", &keys().path("rsa2"), &from, &to]);
        assert!(!refused.status.success());
    }
}

#[tokio::test]
async fn we_decrypt_what_skopeo_encrypts() {
    let (_guard, folder) = folder();
    let plain = [tar("a", &text(200_000, 5)), tar("b", b"some")];
    let packed: Vec<_> = plain.iter().map(|plain| through("gzip", &["-nc"], plain)).collect();
    let ours = folder.join("ours");
    let described = packed.iter().map(|gzip| (MediaType::OCI_LAYER_GZIP, gzip.clone(), BTreeMap::new()));
    layout(&ours, &plain, described.collect());
    let from = format!("oci:{}:x", ours.display());
    for names in [&["rsa"][..], &["p256"], &["p384"], &["p521", "rsa"]] {
        let theirs = folder.join(names.join("-"));
        let to = format!("oci:{}:x", theirs.display());
        let public: Vec<_> = names.iter().map(|name| format!("jwe:{}.pub", keys().path(name))).collect();
        let mut arguments = vec!["copy"];
        arguments.extend(public.iter().flat_map(|public| ["--encryption-key", public]));
        arguments.extend([from.as_str(), &to]);
        succeeds(&arguments);
        for (layer, packed) in layers(&theirs).iter().zip(&packed) {
            let media_type = MediaType::new(layer["mediaType"].as_str().unwrap());
            assert!(is_encrypted(&media_type), "{media_type}");
            assert_eq!(decrypted_type(&media_type).as_str(), MediaType::OCI_LAYER_GZIP);
            let annotations: BTreeMap<String, String> =
                serde_json::from_value(layer["annotations"].clone()).unwrap();
            for name in names {
                let bytes = Pieces::new(blob(&theirs, &layer["digest"]), 5000);
                let content = Decrypted::new(bytes, &annotations, &[keys().decryption(name)]).unwrap();
                assert!(read(&content).await.unwrap() == *packed, "{name}");
                assert_eq!(content.digest(), Some(&Digest::of(Algorithm::Sha256, packed)));
            }
        }
    }
}

#[tokio::test]
async fn skopeo_reads_with_a_key_that_was_added() {
    let (_guard, folder) = folder();
    let plain = tar("a", &text(2000, 1));
    let (encrypted, annotations) = encrypt(&plain, &["rsa"]).await;
    let more =
        add_recipients(&annotations, &[keys().decryption("rsa")], &[keys().recipient("p256")]).unwrap();
    let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
    layout(
        &ours,
        std::slice::from_ref(&plain),
        vec![("application/vnd.oci.image.layer.v1.tar+encrypted", encrypted, more)],
    );
    let (from, to) = (format!("oci:{}:x", ours.display()), format!("oci:{}:x", theirs.display()));
    succeeds(&[
        "copy",
        "--dest-oci-accept-uncompressed-layers",
        "--decryption-key",
        &keys().path("p256"),
        &from,
        &to,
    ]);
    assert!(blob(&theirs, &layers(&theirs)[0]["digest"]) == plain);
}
