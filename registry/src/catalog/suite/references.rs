use super::*;

/// A manifest with these references.
fn image(repo: &str, n: u64, references: Vec<ManifestRef>) -> NewManifest {
    NewManifest { references, ..manifest(repo, n, &["latest"]) }
}

async fn missing(f: &Fixture, manifest: &NewManifest) -> Vec<ManifestRef> {
    match f.catalog.put_manifest(manifest, NOW, LEASE).await.unwrap() {
        ManifestPut::Missing(missing) => missing,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn r16_what_is_missing_is_named_and_nothing_is_stored(f: &Fixture) {
    use RefKind::{Blob, Child};
    f.blob("other", 3).await;
    let wanted = vec![reference(3, Blob), reference(2, Child), reference(1, Blob)];
    assert_eq!(missing(f, &image("a", 10, wanted.clone())).await, wanted);
    assert_eq!(f.catalog.tags(&name("a"), None, 10).await.unwrap(), None, "a repository came to be");
    assert_eq!(f.number("SELECT COUNT(*) FROM manifest_bodies").await, 0);
    f.blob("a", 3).await;
    assert_eq!(missing(f, &image("a", 10, wanted.clone())).await, wanted[1..]);
    assert_eq!(f.resolve("a", "latest").await, None);
    f.blob("a", 1).await;
    f.push(manifest("a", 2, &[])).await;
    f.push(image("a", 10, wanted)).await;
    assert_eq!(f.resolve("a", "latest").await, Some(digest(10)));
}

pub(super) async fn the_first_hundred_missing_are_named_in_order(f: &Fixture) {
    let wanted: Vec<_> = (0..150).rev().map(|n| reference(n, RefKind::Blob)).collect();
    assert_eq!(missing(f, &image("a", 1000, wanted.clone())).await, wanted[..100]);
}

pub(super) async fn optional_references_may_be_missing(f: &Fixture) {
    let optional = |n, kind| ManifestRef { optional: true, ..reference(n, kind) };
    f.push(image("a", 10, vec![optional(1, RefKind::Blob), optional(2, RefKind::Child)])).await;
    let mixed = vec![optional(1, RefKind::Blob), reference(3, RefKind::Blob)];
    assert_eq!(missing(f, &image("a", 11, mixed)).await, [reference(3, RefKind::Blob)]);
    assert_eq!(f.number("SELECT COUNT(*) FROM manifest_refs WHERE optional = 1").await, 2);
}

pub(super) async fn a_child_may_be_a_manifest_or_a_linked_blob(f: &Fixture) {
    f.push(manifest("a", 1, &[])).await;
    f.blob("a", 2).await;
    f.push(image("a", 10, vec![reference(1, RefKind::Child), reference(2, RefKind::Child)])).await;
    let blob = vec![reference(1, RefKind::Blob)];
    assert_eq!(missing(f, &image("a", 11, blob.clone())).await, blob, "a manifest is no layer");
}

pub(super) async fn references_count_only_in_their_own_repository(f: &Fixture) {
    f.push(manifest("other", 1, &[])).await;
    f.blob("other", 2).await;
    let wanted = vec![reference(1, RefKind::Child), reference(2, RefKind::Blob)];
    assert_eq!(missing(f, &image("a", 10, wanted.clone())).await, wanted);
    f.push(image("other", 10, wanted)).await;
}

pub(super) async fn r17_ten_thousand_references_are_stored(f: &Fixture) {
    let wanted: Vec<_> =
        (0..10_000).map(|n| ManifestRef { optional: n > 0, ..reference(n, RefKind::Blob) }).collect();
    f.blob("a", 0).await;
    f.push(image("a", 20_000, wanted)).await;
    assert_eq!(f.number("SELECT COUNT(*) FROM manifest_refs").await, 10_000);
}

pub(super) async fn r17_the_depth_of_indexes_is_that_of_the_deepest_child(f: &Fixture) {
    f.push(manifest("a", 1, &[])).await;
    let nested = |n, children: &[u64]| NewManifest {
        max_depth: 2,
        ..image("a", n, children.iter().map(|n| reference(*n, RefKind::Child)).collect())
    };
    f.push(nested(2, &[1])).await;
    f.push(nested(3, &[1, 2])).await;
    let put = f.catalog.put_manifest(&nested(4, &[1, 3]), NOW, LEASE).await.unwrap();
    assert_eq!(put, ManifestPut::TooDeep);
    assert_eq!(f.resolve("a", digest(4).as_str()).await, None);
}
