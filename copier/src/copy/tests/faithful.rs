//! What arrives is what was there.

use std::sync::atomic::Ordering;

use berth_oci::{Digest, MediaType};
use serde_json::json;

use super::{
    all, copy,
    fakes::{Heap, Log, Shelf, described, digest},
    session,
};
use crate::{
    Error,
    copy::{ManifestFormat, Options, run},
    signature::Signature,
    sink::LayerForm,
    source::Instances,
};

fn two_platforms(shelf: &mut Shelf) -> (Digest, Digest, Digest) {
    let amd = shelf.image(b"{\"amd\":1}", &[b"base", b"amd"]);
    let arm = shelf.image(b"{\"arm\":1}", &[b"base", b"arm"]);
    let index = shelf.index(&[(&amd, Some("linux/amd64")), (&arm, Some("linux/arm64"))]);
    (amd, arm, index)
}

#[tokio::test]
async fn an_image_arrives_byte_for_byte() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    let top = shelf.image(b"{}", &[b"one", b"two", b""]);
    let report = copy(&shelf, &heap, &Options::default()).await.unwrap();
    let state = heap.state();
    assert_eq!(state.manifests[&top], shelf.manifests[&top].0);
    assert_eq!(state.blobs.len(), 4);
    assert_eq!((report.digest, report.source_digest, report.unchanged), (top, None, false));
    assert_eq!((report.bytes_copied, report.manifests, report.blobs.len()), (8, 1, 4));
}

#[tokio::test]
async fn of_an_index_the_platform_alone_or_all_or_some_or_none_arrive() {
    let mut shelf = Shelf::default();
    let (amd, arm, index) = two_platforms(&mut shelf);
    for (instances, manifests, blobs) in [
        (Instances::System, vec![&amd], 3),
        (Instances::All, vec![&amd, &arm, &index], 5),
        (Instances::IndexOnly, vec![&index], 0),
        (Instances::Platforms(vec!["linux/arm64".parse().unwrap()]), vec![&arm, &index], 3),
    ] {
        let heap = Heap::default();
        let options = Options { instances: instances.clone(), ..Options::default() };
        let report = copy(&shelf, &heap, &options).await.unwrap();
        let state = heap.state();
        let mut expected: Vec<_> = manifests.clone().into_iter().collect();
        expected.sort();
        assert_eq!(state.manifests.keys().collect::<Vec<_>>(), expected, "{instances:?}");
        assert_eq!(state.blobs.len(), blobs, "{instances:?}");
        assert_eq!(Some(&&report.digest), manifests.last());
    }
}

#[tokio::test]
async fn a_platform_that_is_not_there_is_named_with_those_that_are() {
    let mut shelf = Shelf::default();
    let (_, arm, _) = two_platforms(&mut shelf);
    let asked = Instances::Platforms(vec!["linux/s390x".parse().unwrap()]);
    let error = copy(&shelf, &Heap::default(), &Options { instances: asked, ..Options::default() }).await;
    assert!(error.unwrap_err().to_string().contains("linux/s390x"));
    shelf.index(&[(&arm, Some("linux/arm64"))]);
    let error = copy(&shelf, &Heap::default(), &Options::default()).await.unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().ends_with("it has linux/arm64"), "{error}");
}

#[tokio::test]
async fn what_is_there_already_is_neither_read_nor_written() {
    let mut shelf = Shelf::default();
    let (_, _, index) = two_platforms(&mut shelf);
    let heap = Heap::default();
    copy(&shelf, &heap, &all()).await.unwrap();
    heap.state().calls.clear();
    shelf.manifests_read.store(0, Ordering::Relaxed);
    let report = copy(&shelf, &heap, &all()).await.unwrap();
    assert!(report.unchanged && report.digest == index);
    assert_eq!((heap.calls().len(), shelf.manifests_read.load(Ordering::Relaxed)), (0, 0));

    // One platform: the index is read to find it, and nothing else is.
    let heap = Heap::default();
    copy(&shelf, &heap, &Options::default()).await.unwrap();
    heap.state().calls.clear();
    shelf.manifests_read.store(0, Ordering::Relaxed);
    assert!(copy(&shelf, &heap, &Options::default()).await.unwrap().unchanged);
    assert!(heap.calls().is_empty());
    assert!(shelf.manifests_read.load(Ordering::Relaxed) <= 2);
}

#[tokio::test]
async fn a_new_signature_of_what_is_there_goes_along() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    let top = shelf.image(b"{}", &[b"one"]);
    copy(&shelf, &heap, &Options::default()).await.unwrap();
    shelf.signatures.insert(top.clone(), vec![Signature::Simple("sig".into())]);
    copy(&shelf, &heap, &Options::default()).await.unwrap();
    assert_eq!(heap.state().signatures[&top].len(), 1);
}

/// A key that must not be used.
struct Unused;

#[async_trait::async_trait]
impl crate::signature::Sign for Unused {
    fn is_sigstore(&self) -> bool {
        true
    }

    async fn sign(&self, _: &crate::RawManifest, _: &berth_oci::Reference) -> crate::Result<Signature> {
        panic!("nothing is signed that cannot be stored")
    }
}

#[tokio::test]
async fn signatures_that_have_no_place_end_a_copy_before_anything_moves() {
    let (mut shelf, heap) = (Shelf::default(), Heap { no_signatures: true, ..Heap::default() });
    let top = shelf.image(b"{}", &[b"one"]);
    let named = "r.example.org/app:1".parse().unwrap();
    let signed = || Options { signers: vec![std::sync::Arc::new(Unused)], ..Options::default() };
    let nameless = copy(&shelf, &heap, &signed()).await.unwrap_err();
    assert!(nameless.to_string().contains("--sign-identity"), "{nameless}");
    let asked = Options { sign_identity: Some(named), ..signed() };
    let refused = copy(&shelf, &heap, &asked).await.unwrap_err();
    assert!(refused.to_string().contains("no place for signatures"), "{refused}");
    let mut none = Heap::default();
    none.traits.signatures = false;
    let refused = copy(&shelf, &none, &asked).await.unwrap_err();
    assert!(refused.to_string().contains("holds no signatures"), "{refused}");
    shelf.signatures.insert(top, vec![Signature::Simple("sig".into())]);
    assert!(copy(&shelf, &heap, &Options::default()).await.is_err());
    assert_eq!((heap.calls(), none.calls()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn an_index_in_an_index_and_an_artifact_arrive_as_they_are() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    let image = shelf.image(b"{}", &[b"one"]);
    let inner = shelf.index(&[(&image, Some("linux/amd64"))]);
    let sbom = shelf.image_of(
        MediaType::OCI_MANIFEST,
        MediaType::OCI_EMPTY,
        "application/spdx+json",
        b"{}",
        &[b"{s}"],
    );
    let other = shelf.manifest(&json!({"mediaType": "application/vnd.example.thing+json", "thing": 1}));
    let top = shelf.index(&[(&inner, None), (&sbom, None), (&other, None)]);
    copy(&shelf, &heap, &all()).await.unwrap();
    let state = heap.state();
    for digest in [&image, &inner, &sbom, &other, &top] {
        assert_eq!(state.manifests[digest], shelf.manifests[digest].0);
    }
}

#[tokio::test]
async fn layers_that_an_index_lists_itself_are_blobs() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    shelf.blob(b"layer");
    let layer = described(MediaType::OCI_LAYER_GZIP, b"layer");
    shelf.manifest(&json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [layer]}));
    copy(&shelf, &heap, &all()).await.unwrap();
    assert!(heap.state().blobs.contains_key(&digest(b"layer")));
}

#[tokio::test]
async fn embedded_content_is_not_asked_for() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    let mut config = described(MediaType::OCI_EMPTY, b"{}");
    config["data"] = STANDARD.encode(b"{}").into();
    shelf.manifest(
        &json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": []}),
    );
    copy(&shelf, &heap, &Options::default()).await.unwrap();
    assert_eq!(shelf.opened.load(Ordering::Relaxed), 0);
    assert_eq!(&heap.state().blobs[&digest(b"{}")][..], b"{}");
}

#[tokio::test]
async fn a_foreign_layer_stays_where_its_urls_say() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    shelf.blob(b"{}");
    let mut layer = described(MediaType::DOCKER_FOREIGN_LAYER, b"windows");
    layer["urls"] = json!(["https://example.org/layer"]);
    shelf.manifest(&json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
        "config": described(MediaType::DOCKER_CONFIG, b"{}"), "layers": [layer],
    }));
    let report = copy(&shelf, &heap, &Options::default()).await.unwrap();
    assert_eq!(report.blobs.iter().filter(|blob| blob.outcome == "skipped").count(), 1);
    assert_eq!(heap.state().blobs.len(), 1);
}

#[tokio::test]
async fn where_the_sink_takes_one_format_the_other_is_converted_and_said() {
    let mut shelf = Shelf::default();
    let image = shelf.docker_image(b"{\"a\":1}", &[b"one", b"two"]);
    let list = shelf.index_of(MediaType::DOCKER_LIST, &[(&image, Some("linux/amd64"))]);
    let mut heap = Heap::default();
    heap.traits.manifest_types = Some(&[MediaType::OCI_MANIFEST, MediaType::OCI_INDEX]);
    let report = copy(&shelf, &heap, &all()).await.unwrap();
    assert_eq!(report.source_digest, Some(list));
    assert_eq!(report.media_type.as_str(), MediaType::OCI_INDEX);
    let state = heap.state();
    let top: serde_json::Value = serde_json::from_slice(&state.manifests[&report.digest]).unwrap();
    let child = top["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
    let child: serde_json::Value = serde_json::from_slice(&state.manifests[&child]).unwrap();
    assert_eq!(top["manifests"][0]["platform"]["architecture"], "amd64");
    assert_eq!(child["config"]["mediaType"], MediaType::OCI_CONFIG);
    assert_eq!(child["layers"][1], described(MediaType::OCI_LAYER_GZIP, b"two"));
}

#[tokio::test]
async fn what_may_not_change_is_refused_with_the_reason_and_the_way_out() {
    let mut shelf = Shelf::default();
    let image = shelf.docker_image(b"{\"a\":1}", &[b"one"]);
    let oci = Options { format: Some(ManifestFormat::Oci), ..Options::default() };
    let preserve = Options { preserve_digests: true, ..oci.clone() };
    let error = copy(&shelf, &Heap::default(), &preserve).await.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("instructed to preserve digests"), "{error}");

    shelf.signatures.insert(image, vec![Signature::Simple("sig".into())]);
    let error = copy(&shelf, &Heap::default(), &oci).await.unwrap_err();
    assert!(error.to_string().contains("would invalidate signatures; --remove-signatures"), "{error}");
    let removed = Options { remove_signatures: true, ..oci };
    assert!(copy(&shelf, &Heap::default(), &removed).await.unwrap().source_digest.is_some());

    let mut heap = Heap::default();
    heap.traits.signatures = false;
    let error = copy(&shelf, &heap, &Options::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("can not copy signatures to dir:/heap"), "{error}");
    assert!(heap.calls().is_empty());
}

#[tokio::test]
async fn an_artifact_is_not_converted() {
    let mut shelf = Shelf::default();
    shelf.image_of(MediaType::OCI_MANIFEST, MediaType::OCI_EMPTY, "application/spdx+json", b"{}", &[b"{s}"]);
    let options = Options { format: Some(ManifestFormat::V2s2), ..Options::default() };
    let heap = Heap::default();
    let error = copy(&shelf, &heap, &options).await.unwrap_err();
    assert!(error.to_string().contains("artifact"), "{error}");
    assert!(heap.calls().is_empty());
}

#[tokio::test]
async fn an_archive_takes_no_index() {
    let mut shelf = Shelf::default();
    two_platforms(&mut shelf);
    let mut heap = Heap::default();
    heap.traits.indexes = false;
    heap.traits.layers = LayerForm::Preserve;
    let error = copy(&shelf, &heap, &all()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
    assert!(copy(&shelf, &heap, &Options::default()).await.is_ok());
}

#[tokio::test]
async fn the_steps_are_said_in_skopeos_words() {
    let (mut shelf, heap, log) = (Shelf::default(), Heap::default(), Log::default());
    shelf.image(b"{}", &[b"one"]);
    run(&session(), &shelf, &heap, &Options::default(), &log).await.unwrap();
    assert_eq!(
        log.steps(),
        [
            "Getting image source signatures".to_owned(),
            format!("Copying blob {}", digest(b"one")),
            format!("Copying config {}", digest(b"{}")),
            "Writing manifest to image destination".to_owned(),
        ]
    );
    assert_eq!(log.bytes(), 5);
}
