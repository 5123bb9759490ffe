use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use futures_util::future::{join, join_all};

use super::*;

pub(super) async fn a_manifest_comes_back_byte_for_byte(f: &Fixture) {
    let body = b"{ \"odd\":\t\"\xc3\xa4\" }\r\n\0";
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, body);
        let mut image = manifest("a/b", 1, &["v1"]);
        image.digest = digest.clone();
        image.body = body[..].into();
        image.media_type = MediaType::new("application/vnd.example+json");
        image.subject = Some(super::digest(99));
        f.push(image.clone()).await;
        for reference in [ManifestReference::Tag(tag("v1")), ManifestReference::Digest(digest)] {
            // Twice: from the database, and from memory.
            for _ in 0..2 {
                let row = f.catalog.manifest(&name("a/b"), &reference).await.unwrap().unwrap();
                assert_eq!(
                    (row.digest, row.media_type, row.body, row.subject),
                    (
                        image.digest.clone(),
                        image.media_type.clone(),
                        image.body.clone(),
                        image.subject.clone()
                    )
                );
            }
        }
    }
    assert_eq!(f.resolve("a/b", "v2").await, None);
    assert_eq!(f.resolve("a", "v1").await, None);
    assert_eq!(f.resolve("a", digest(1).as_str()).await, None);
}

pub(super) async fn the_same_manifest_again_only_moves_its_tags(f: &Fixture) {
    let put = async |manifest: NewManifest| f.catalog.put_manifest(&manifest, NOW, LEASE).await.unwrap();
    assert_eq!(put(manifest("a", 1, &["x"])).await, stored(true));
    assert_eq!(put(manifest("a", 2, &[])).await, stored(true));
    assert_eq!(put(manifest("a", 1, &["y"])).await, stored(false));
    let moved = vec![(tag("x"), digest(1))];
    assert_eq!(put(manifest("a", 2, &["x"])).await, ManifestPut::Stored { created: false, moved });
    assert_eq!(put(manifest("a", 2, &["x"])).await, stored(false), "it is there already");
    assert_eq!(f.resolve("a", "x").await, Some(digest(2)));
    assert_eq!(f.resolve("a", "y").await, Some(digest(1)));
    // It may say another type for the same bytes; the last counts.
    let other = NewManifest { media_type: "application/other".into(), ..manifest("a", 1, &[]) };
    put(other).await;
    let row = f.catalog.manifest(&name("a"), &ManifestReference::Tag(tag("y"))).await.unwrap().unwrap();
    assert_eq!(row.media_type.as_str(), "application/other");
}

pub(super) async fn a_body_is_stored_once_and_goes_with_its_last_manifest(f: &Fixture) {
    f.push(manifest("a", 1, &[])).await;
    f.push(manifest("b", 1, &[])).await;
    let bodies = async || f.number("SELECT COUNT(*) FROM manifest_bodies").await;
    assert_eq!(bodies().await, 1);
    assert!(f.delete(&name("a"), &digest(1)).await);
    assert_eq!(bodies().await, 1);
    assert_eq!(f.resolve("b", digest(1).as_str()).await, Some(digest(1)));
    assert!(f.delete(&name("b"), &digest(1)).await);
    assert_eq!(bodies().await, 0);
}

pub(super) async fn a_moved_tag_is_seen_at_once(f: &Fixture) {
    for n in 0..20 {
        f.push(manifest("a", n, &["latest"])).await;
        assert_eq!(f.resolve("a", "latest").await, Some(digest(n)));
    }
}

pub(super) async fn deleting_a_manifest_takes_its_tags_and_references(f: &Fixture) {
    f.blob("a", 1).await;
    let mut image = manifest("a", 10, &["x", "y"]);
    image.references = vec![reference(1, RefKind::Blob)];
    f.push(image).await;
    f.push(manifest("a", 11, &["z"])).await;
    assert_eq!(f.resolve("a", "x").await, Some(digest(10)));
    assert_eq!(f.number("SELECT COUNT(*) FROM manifest_refs").await, 1);
    assert!(f.delete(&name("a"), &digest(10)).await);
    for reference in ["x", "y", digest(10).as_str()] {
        assert_eq!(f.resolve("a", reference).await, None);
    }
    assert_eq!(f.catalog.tags(&name("a"), None, 10).await.unwrap(), Some(vec![tag("z")]));
    assert_eq!(f.number("SELECT COUNT(*) FROM manifest_refs").await, 0);
    assert!(!f.delete(&name("a"), &digest(10)).await);
    assert!(!f.delete(&name("nowhere"), &digest(11)).await);
}

pub(super) async fn a_deleted_manifest_comes_back_without_its_old_tags(f: &Fixture) {
    f.push(manifest("a", 1, &["x"])).await;
    assert_eq!(f.resolve("a", "x").await, Some(digest(1)));
    f.delete(&name("a"), &digest(1)).await;
    f.push(manifest("a", 1, &[])).await;
    assert_eq!(f.resolve("a", digest(1).as_str()).await, Some(digest(1)));
    assert_eq!(f.resolve("a", "x").await, None);
}

pub(super) async fn deleting_a_tag_leaves_the_manifest(f: &Fixture) {
    f.push(manifest("a", 1, &["x", "y"])).await;
    assert_eq!(f.resolve("a", "x").await, Some(digest(1)));
    assert!(f.catalog.delete_tag(&name("a"), &tag("x"), GONE).await.unwrap());
    assert_eq!(f.resolve("a", "x").await, None);
    assert_eq!(f.resolve("a", "y").await, Some(digest(1)));
    assert!(!f.catalog.delete_tag(&name("a"), &tag("x"), GONE).await.unwrap());
    assert!(!f.catalog.delete_tag(&name("b"), &tag("y"), GONE).await.unwrap());
}

pub(super) async fn several_tags_are_set_at_once(f: &Fixture) {
    f.push(manifest("a", 1, &["c", "a", "b", "a"])).await;
    let tags = f.catalog.tags(&name("a"), None, 10).await.unwrap().unwrap();
    assert_eq!(tags, [tag("a"), tag("b"), tag("c")]);
}

/// What one call saw, and between which ticks of a common clock it ran.
struct Seen {
    from: u64,
    to: u64,
    digest: Digest,
}

pub(super) async fn f18_ten_writers_on_one_tag_are_seen_in_one_order(f: &Fixture) {
    let clock = AtomicU64::new(0);
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let (writes, reads) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let read = async || {
        let from = tick();
        if let Some(digest) = f.resolve("a", "latest").await {
            reads.lock().unwrap().push(Seen { from, to: tick(), digest });
        }
    };
    let writers = join_all((0..10).map(async |writer| {
        for round in 0..10 {
            let from = tick();
            let digest = f.push(manifest("a", writer * 100 + round, &["latest"])).await;
            writes.lock().unwrap().push(Seen { from, to: tick(), digest });
            read().await;
        }
    }));
    let readers = join_all((0..4).map(async |_| {
        while writes.lock().unwrap().len() < 100 {
            read().await;
            tokio::task::yield_now().await;
        }
    }));
    join(writers, readers).await;
    read().await;
    let (writes, reads) = (writes.into_inner().unwrap(), reads.into_inner().unwrap());
    for read in &reads {
        let write = writes.iter().find(|write| write.digest == read.digest).unwrap();
        assert!(write.from < read.to, "{} was read before it was written", read.digest);
        let overwritten = writes.iter().any(|later| write.to < later.from && later.to < read.from);
        assert!(!overwritten, "{} was read after it had been overwritten", read.digest);
    }
    // Two reads one after the other never see two writes the other way round.
    for (first, second) in reads.iter().flat_map(|first| reads.iter().map(move |second| (first, second))) {
        if first.to < second.from {
            let write = |read: &Seen| writes.iter().find(|write| write.digest == read.digest).unwrap();
            assert!(write(second).to > write(first).from, "{} came back", second.digest);
        }
    }
}

pub(super) async fn pushes_of_one_manifest_at_once_all_succeed(f: &Fixture) {
    for n in 1..=3 {
        f.blob("a", n).await;
    }
    let names = ["a", "b", "c", "d", "e"];
    let pushes = (0..40).map(async |n: usize| {
        let mut image = manifest("a", 10, &[names[n % 5], names[(n + 1) % 5]]);
        image.references = vec![reference(1 + n as u64 % 3, RefKind::Blob)];
        f.catalog.put_manifest(&image, NOW, Lease { now: NOW + HOUR * 2, ..LEASE }).await.unwrap()
    });
    let all = join_all(pushes).await;
    assert_eq!(all.iter().filter(|put| **put == stored(true)).count(), 1);
    assert_eq!(f.catalog.tags(&name("a"), None, 10).await.unwrap().unwrap().len(), 5);
}

pub(super) async fn pushes_and_deletes_of_one_manifest_never_tear_it(f: &Fixture) {
    let (one, two) = (name("one"), name("two"));
    join_all((0..12).map(async |n: u64| {
        for _ in 0..10 {
            let repo = if n.is_multiple_of(2) { &one } else { &two };
            match n % 4 {
                0 | 1 => drop(f.push(manifest(repo.as_str(), 1, &["x"])).await),
                _ => drop(f.delete(repo, &digest(1)).await),
            }
            let by_tag = ManifestReference::Tag(tag("x"));
            if let Some(row) = f.catalog.manifest(repo, &by_tag).await.unwrap() {
                assert_eq!(row.body, manifest("any", 1, &[]).body);
            }
        }
    }))
    .await;
    let without_body = "SELECT COUNT(*) FROM manifests m \
        WHERE NOT EXISTS (SELECT 1 FROM manifest_bodies b WHERE b.digest = m.digest)";
    assert_eq!(f.number(without_body).await, 0);
    for repo in [one, two] {
        f.delete(&repo, &digest(1)).await;
        assert_eq!(f.resolve(repo.as_str(), "x").await, None);
    }
}

fn stored(created: bool) -> ManifestPut {
    ManifestPut::Stored { created, moved: Vec::new() }
}
