//! What refers to images, and what happens to it.

use berth_oci::{Descriptor, Digest, MediaType};
use serde_json::json;

use super::{
    all, copy,
    fakes::{Call, Heap, Shelf, described, digest},
};
use crate::{
    Role,
    copy::{ManifestFormat, Options},
};

/// Puts a signature-like artifact in that refers to a manifest, and keeps the top.
fn attach(shelf: &mut Shelf, subject: &Digest, content: &[u8]) -> Digest {
    let top = shelf.top.clone();
    shelf.blob(b"{}");
    shelf.blob(content);
    let of = shelf.descriptor(subject);
    let artifact = shelf.manifest(&json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": "application/x.test",
        "config": described(MediaType::OCI_EMPTY, b"{}"),
        "layers": [described("application/x.test", content)],
        "subject": {"mediaType": of.media_type, "digest": of.digest, "size": of.size},
    }));
    let listed: Descriptor = shelf.descriptor(&artifact);
    shelf.referrers.entry(subject.clone()).or_default().push(listed);
    shelf.top = top;
    artifact
}

#[tokio::test]
async fn referrers_of_every_manifest_and_of_themselves_go_along_before_the_top() {
    let mut shelf = Shelf::default();
    let image = shelf.image(b"{\"n\":1}", &[b"one"]);
    let index = shelf.index(&[(&image, Some("linux/amd64"))]);
    let of_image = attach(&mut shelf, &image, b"an sbom");
    let of_index = attach(&mut shelf, &index, b"a signature");
    let of_signature = attach(&mut shelf, &of_index, b"a note");
    let heap = Heap::default();
    let report = copy(&shelf, &heap, &Options { referrers: true, ..all() }).await.unwrap();
    assert_eq!((report.manifests, report.digest == index), (5, true));
    let calls = heap.calls();
    for referrer in [of_image, of_index, of_signature] {
        assert!(calls.contains(&Call::Manifest(referrer, Role::Child)));
    }
    assert_eq!(calls[calls.len() - 2], Call::Manifest(index, Role::Top));

    // Unasked they stay where they are.
    let heap = Heap::default();
    assert_eq!(copy(&shelf, &heap, &all()).await.unwrap().manifests, 2);
}

#[tokio::test]
async fn referrers_of_what_would_change_are_refused() {
    let mut shelf = Shelf::default();
    let image = shelf.docker_image(b"{\"n\":1}", &[b"one"]);
    let options = Options { referrers: true, format: Some(ManifestFormat::Oci), ..Options::default() };
    assert!(copy(&shelf, &Heap::default(), &options).await.is_ok());
    attach(&mut shelf, &image, b"an sbom");
    let heap = Heap::default();
    let error = copy(&shelf, &heap, &options).await.unwrap_err();
    assert!(error.to_string().contains("would refer to nothing"), "{error}");
    assert!(heap.state().manifests.is_empty());
}

#[tokio::test]
async fn c9_a_flood_of_referrers_is_cut() {
    let mut shelf = Shelf::default();
    let image = shelf.image(b"{\"n\":1}", &[b"one"]);
    for at in 0..1_005 {
        attach(&mut shelf, &image, format!("referrer {at}").as_bytes());
    }
    let report =
        copy(&shelf, &Heap::default(), &Options { referrers: true, ..Options::default() }).await.unwrap();
    assert_eq!(report.manifests, 1 + 1_000);
}

#[test]
fn what_is_attached_and_might_run_is_asked_of_the_policy() {
    let might = |config: &str, layers: &[&str]| {
        let blob = |media_type: &&str| serde_json::json!({ "mediaType": media_type, "digest": digest(b"x"), "size": 1 });
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(&config),
            "layers": layers.iter().map(blob).collect::<Vec<_>>(),
        });
        let raw = crate::RawManifest::new(manifest.to_string().into(), None);
        super::super::attached::might_run(&raw.parse().unwrap())
    };
    let image = "application/vnd.oci.image.config.v1+json";
    let signature = "application/vnd.dev.cosign.simplesigning.v1+json";
    for layer in [
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+xz",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/octet-stream",
        "application/x-anything+json",
    ] {
        assert!(might(image, &[layer]), "{layer}");
        assert!(might(image, &[signature, layer]), "{layer} behind a signature");
        assert!(!might("application/vnd.oci.empty.v1+json", &[layer]), "{layer} of an artifact");
    }
    for layers in [&[][..], &[signature], &[signature, "application/vnd.in-toto+json", "text/spdx+json"]] {
        assert!(!might(image, layers), "{layers:?}");
    }
}

#[tokio::test]
async fn tags_of_digests_are_for_registries() {
    let mut shelf = Shelf::default();
    shelf.image(b"{\"n\":1}", &[b"one"]);
    let error = copy(&shelf, &Heap::default(), &Options { digest_tags: true, ..Options::default() }).await;
    assert_eq!(error.unwrap_err().exit_code(), 2);
}
