//! Sources that lie, and sinks that refuse.

use berth_oci::MediaType;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    all, copy,
    fakes::{Call, Heap, Shelf, described, digest},
};
use crate::{Error, ImageName, copy::Options};

#[tokio::test]
async fn c6_a_blob_that_lies_ends_the_copy_and_leaves_nothing() {
    for lie in [&b"0ne"[..], b"on", b"one and more", b""] {
        let (mut shelf, heap) = (Shelf::default(), Heap::default());
        shelf.image(b"{}", &[b"one"]);
        shelf.lies.insert(digest(b"one"), Bytes::copy_from_slice(lie));
        let error = copy(&shelf, &heap, &Options::default()).await.unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        let state = heap.state();
        assert!(!state.blobs.contains_key(&digest(b"one")) && state.top.is_none());
        assert!(!state.calls.contains(&Call::Commit));
    }
}

#[tokio::test]
async fn c6_a_blob_that_is_named_with_two_sizes_is_refused_before_anything_moves() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    shelf.blob(b"{}");
    shelf.blob(b"one");
    let layer =
        |size: u64| json!({"mediaType": MediaType::OCI_LAYER, "digest": digest(b"one"), "size": size});
    shelf.manifest(&json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": described(MediaType::OCI_CONFIG, b"{}"), "layers": [layer(3), layer(2)],
    }));
    let error = copy(&shelf, &heap, &Options::default()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(heap.calls().is_empty());
}

#[tokio::test]
async fn c6_a_manifest_that_is_named_with_two_sizes_is_refused() {
    for nested in [false, true] {
        let (mut shelf, heap) = (Shelf::default(), Heap::default());
        let image = shelf.image(b"{}", &[b"one"]);
        let right = serde_json::to_value(shelf.descriptor(&image)).unwrap();
        let mut wrong = right.clone();
        wrong["size"] = json!(7);
        let index = |entries: Vec<Value>| json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
        if nested {
            let inner = shelf.manifest(&index(vec![wrong]));
            let inner = serde_json::to_value(shelf.descriptor(&inner)).unwrap();
            shelf.manifest(&index(vec![right, inner]));
        } else {
            shelf.manifest(&index(vec![right, wrong]));
        }
        let error = copy(&shelf, &heap, &all()).await.unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        assert!(error.to_string().contains("is named with"), "{error}");
        assert!(heap.calls().is_empty());
    }
}

#[tokio::test]
async fn what_the_destination_may_have_lost_is_copied_again() {
    let mut shelf = Shelf::default();
    let image = shelf.image(b"{}", &[b"one"]);
    let mut heap = Heap::default();
    copy(&shelf, &heap, &Options::default()).await.unwrap();
    heap.state().blobs.remove(&digest(b"one"));
    assert!(copy(&shelf, &heap, &Options::default()).await.unwrap().unchanged);
    heap.traits.trust_current = false;
    let report = copy(&shelf, &heap, &Options::default()).await.unwrap();
    assert!(!report.unchanged && report.digest == image);
    assert!(heap.state().blobs.contains_key(&digest(b"one")));
}

#[tokio::test]
async fn c5_a_pinned_digest_is_verified() {
    let mut shelf = Shelf::default();
    let image = shelf.image(b"{}", &[b"one"]);
    let name = |digest| format!("docker://example.org/a@{digest}").parse::<ImageName>().unwrap();
    shelf.name = Some(name(image));
    assert!(copy(&shelf, &Heap::default(), &Options::default()).await.is_ok());
    shelf.name = Some(name(digest(b"another")));
    let error = copy(&shelf, &Heap::default(), &Options::default()).await.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");

    // Also where the destination seems to have it.
    let heap = Heap::default();
    heap.state().top = Some(shelf.descriptor(shelf.top.as_ref().unwrap()));
    assert_eq!(copy(&shelf, &heap, &Options::default()).await.unwrap_err().exit_code(), 4);
}

#[tokio::test]
async fn c5_a_child_that_is_another_is_refused() {
    let mut shelf = Shelf::default();
    let (right, wrong) = (shelf.image(b"{}", &[b"one"]), shelf.image(b"{}", &[b"two"]));
    shelf.index(&[(&right, Some("linux/amd64"))]);
    shelf.manifests.insert(right.clone(), shelf.manifests[&wrong].clone());
    for options in [all(), Options::default()] {
        let heap = Heap::default();
        assert_eq!(copy(&shelf, &heap, &options).await.unwrap_err().exit_code(), 4);
        assert!(heap.calls().is_empty());
    }
}

#[tokio::test]
async fn a_destination_that_is_a_digest_takes_that_and_nothing_else() {
    let mut shelf = Shelf::default();
    let image = shelf.image(b"{}", &[b"one"]);
    let name = |digest| format!("docker://example.org/a@{digest}").parse().unwrap();
    let heap = Heap { name: name(image), ..Heap::default() };
    assert!(copy(&shelf, &heap, &Options::default()).await.is_ok());
    let heap = Heap { name: name(digest(b"x")), ..Heap::default() };
    let error = copy(&shelf, &heap, &Options::default()).await.unwrap_err();
    assert!(error.to_string().contains("would not match destination reference"), "{error}");
    assert!(heap.calls().is_empty());
}

#[tokio::test]
async fn c11_indexes_nested_without_end_are_refused() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    let mut inner = shelf.image(b"{}", &[]);
    for _ in 0..=20 {
        inner = shelf.index(&[(&inner, None)]);
    }
    for options in [all(), Options::default()] {
        let error = copy(&shelf, &heap, &options).await.unwrap_err();
        assert!(matches!(error, Error::Integrity(_)), "{error}");
    }
    assert!(heap.calls().is_empty());
}

#[tokio::test]
async fn c11_indexes_nested_twenty_deep_are_copied() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    let mut inner = shelf.image(b"{}", &[]);
    for _ in 0..20 {
        inner = shelf.index(&[(&inner, None)]);
    }
    assert_eq!(copy(&shelf, &heap, &all()).await.unwrap().manifests, 21);
}

#[tokio::test]
async fn c11_more_manifests_than_a_copy_may_have_are_refused_before_they_are_read() {
    let (mut shelf, heap) = (Shelf::default(), Heap::default());
    let half = |name: u8| -> Vec<Value> {
        (0..5_001u32)
            .map(|at| described(MediaType::OCI_MANIFEST, &[&[name], &at.to_le_bytes()[..]].concat()))
            .collect()
    };
    let index = |entries: Vec<Value>| json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
    let (one, two) = (shelf.manifest(&index(half(1))), shelf.manifest(&index(half(2))));
    shelf.index(&[(&one, None), (&two, None)]);
    let error = copy(&shelf, &heap, &all()).await.unwrap_err();
    assert!(error.to_string().contains("more than 10000 manifests"), "{error}");
    assert_eq!(shelf.manifests_read.load(std::sync::atomic::Ordering::Relaxed), 3);
}

#[tokio::test]
async fn the_first_fault_ends_what_is_on_its_way_and_is_the_one_told() {
    let (mut shelf, mut heap) = (Shelf::default(), Heap::default());
    shelf.image(b"{}", &[b"a long layer that never arrives", b"refused"]);
    heap.hangs.insert(digest(b"a long layer that never arrives"));
    heap.refuses.insert(digest(b"refused"));
    let error = copy(&shelf, &heap, &Options::default()).await.unwrap_err();
    assert!(matches!(error.root(), Error::Registry { status: 400, .. }), "{error}");
    assert_eq!(heap.state().puts_at_once, 0);
    assert!(heap.state().top.is_none());
}
