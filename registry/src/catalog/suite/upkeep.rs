//! Records, quarantine, and what `check` and `recover` ask.

use super::*;

/// Everything that is noted.
async fn noted(f: &Fixture) -> Vec<Unrecorded> {
    f.catalog.unrecorded(i64::MAX, 1000).await.unwrap()
}

fn tag_name(repo: &str, text: &str) -> RecordName {
    RecordName::Tag(name(repo), tag(text))
}

fn manifest_name(repo: &str, n: u64) -> RecordName {
    RecordName::Manifest(name(repo), digest(n))
}

async fn names(f: &Fixture) -> Vec<RecordName> {
    let mut names: Vec<_> = noted(f).await.into_iter().map(|note| note.name).collect();
    names.sort();
    names
}

async fn told(f: &Fixture) {
    let sequences: Vec<_> = noted(f).await.iter().map(|note| note.sequence).collect();
    assert_eq!(f.catalog.recorded(&sequences).await.unwrap().len(), sequences.len());
    assert!(noted(f).await.is_empty());
    assert_eq!(f.catalog.last_unrecorded().await.unwrap(), 0);
}

pub(super) async fn changes_are_noted_until_storage_was_told(f: &Fixture) {
    f.push(manifest("a/b", 1, &["v1"])).await;
    assert_eq!(names(f).await, [manifest_name("a/b", 1), tag_name("a/b", "v1")]);
    let before = noted(f).await;
    // Told late: what changed meanwhile has another number and stays.
    f.push(manifest("a/b", 2, &["v1"])).await;
    let sequences: Vec<_> = before.iter().map(|note| note.sequence).collect();
    let taken = f.catalog.recorded(&sequences).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(names(f).await, [manifest_name("a/b", 2), tag_name("a/b", "v1")]);
    assert!(noted(f).await.iter().all(|note| !sequences.contains(&note.sequence)));
    told(f).await;
    // A number is not used again.
    f.push(manifest("a/b", 3, &[])).await;
    let again = noted(f).await;
    assert!(again[0].sequence > *sequences.iter().max().unwrap());
}

pub(super) async fn f13_deletes_are_noted_by_whichever_way_they_come(f: &Fixture) {
    f.push(manifest("a/b", 1, &["v1", "v2"])).await;
    f.push(manifest("a/b", 2, &["v3"])).await;
    told(f).await;
    assert!(f.catalog.delete_tag(&name("a/b"), &tag("v3"), GONE).await.unwrap());
    assert_eq!(names(f).await, [tag_name("a/b", "v3")]);
    assert!(f.delete(&name("a/b"), &digest(1)).await);
    let all = [manifest_name("a/b", 1), tag_name("a/b", "v1"), tag_name("a/b", "v2"), tag_name("a/b", "v3")];
    assert_eq!(names(f).await, all);
    for name in &all {
        assert_eq!(f.catalog.record(name).await.unwrap().content, None);
    }
    f.catalog.all_recorded().await.unwrap();
    assert!(noted(f).await.is_empty());
}

pub(super) async fn a_record_says_where_blobs_are_and_follows_them(f: &Fixture) {
    let first = f.blob("a/b", 5).await.blob;
    let mut image = manifest("a/b", 1, &["v1"]);
    image.references = vec![reference(5, RefKind::Blob)];
    f.push(image.clone()).await;
    let recordable = f.catalog.record(&manifest_name("a/b", 1)).await.unwrap();
    assert!(recordable.sequence.is_some());
    let Some(Record::Manifest(record)) = recordable.content else { panic!("no record") };
    assert_eq!((&record.blobs, &record.body), (&vec![first.clone()], &image.body));
    assert_eq!(record.pushed_at, NOW);
    let Some(Record::Tag(record)) = f.catalog.record(&tag_name("a/b", "v1")).await.unwrap().content else {
        panic!("no record")
    };
    assert_eq!((record.digest, record.updated_at), (digest(1), NOW));
    told(f).await;
    // Healed: the blob has another object, and the record must say so.
    assert!(f.catalog.quarantine(&digest(5), &first.key, NOW).await.unwrap());
    assert!(noted(f).await.is_empty());
    let second = f.blob("a/b", 5).await.blob;
    assert_ne!(first.key, second.key);
    assert_eq!(names(f).await, [manifest_name("a/b", 1)]);
    let Some(Record::Manifest(record)) = f.catalog.record(&manifest_name("a/b", 1)).await.unwrap().content
    else {
        panic!("no record")
    };
    assert_eq!(record.blobs, [second]);
}

pub(super) async fn f20_a_blob_out_of_service_is_as_if_it_was_not_there(f: &Fixture) {
    let committed = f.blob("a", 5).await;
    f.blob("b", 5).await;
    let key = committed.blob.key;
    let other = ObjectKey("blobs/other".to_owned());
    assert!(!f.catalog.quarantine(&digest(5), &other, NOW).await.unwrap(), "another object was meant");
    assert!(f.catalog.quarantine(&digest(5), &key, NOW).await.unwrap());
    assert_eq!(f.catalog.quarantined().await.unwrap(), 1);
    assert!(!f.sees_blob("a", 5).await && !f.sees_blob("b", 5).await);
    for from in [Some(name("a")), None] {
        let mounted = f.catalog.mount_blob(from.as_ref(), &name("c"), &digest(5), NOW, LEASE).await.unwrap();
        assert_eq!(mounted, Ok(None));
    }
    // Nor is a manifest taken that promises it.
    let mut image = manifest("a", 1, &[]);
    image.references = vec![reference(5, RefKind::Blob)];
    let put = f.catalog.put_manifest(&image, NOW, LEASE).await.unwrap();
    assert_eq!(put, ManifestPut::Missing(vec![reference(5, RefKind::Blob)]));
    // An upload heals it, for everybody who links it.
    let healed = f.blob("b", 5).await;
    assert!(!healed.surplus);
    assert_ne!(healed.blob.key, key);
    assert!(f.sees_blob("a", 5).await && f.sees_blob("b", 5).await);
    assert!(matches!(f.catalog.put_manifest(&image, NOW, LEASE).await.unwrap(), ManifestPut::Stored { .. }));
    // And a look that came too late does not take the new one out.
    assert!(!f.catalog.quarantine(&digest(5), &key, NOW).await.unwrap());
    assert!(f.catalog.quarantine(&digest(5), &healed.blob.key, NOW).await.unwrap());
    assert!(f.catalog.release(&digest(5), &healed.blob.key).await.unwrap());
    assert!(f.sees_blob("a", 5).await);
}

pub(super) async fn everything_is_walked_once(f: &Fixture) {
    for n in 0..7 {
        f.push(manifest(["a", "b/c"][usize::from(n % 2 == 0)], n, &[&format!("t{n}"), "last"])).await;
        f.blob("a", n).await;
    }
    let (mut place, mut seen) = (Place::START, Vec::new());
    loop {
        let page = f.catalog.names_after(&place, 3).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        place = last.clone();
        seen.extend(page.into_iter().map(|(_, name)| name));
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((count, seen.len()), (7 + 7 + 2, 7 + 7 + 2));
    let (mut after, mut blobs) = (None, Vec::new());
    loop {
        let page = f.catalog.blobs_after(after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.row.digest.clone());
        blobs.extend(page.into_iter().map(|blob| blob.row.digest));
    }
    assert_eq!(blobs, (0..7).map(digest).collect::<Vec<_>>());
    assert_eq!(f.catalog.bodies_after(None, 100).await.unwrap().len(), 7);
}

pub(super) async fn references_that_lead_nowhere_are_found(f: &Fixture) {
    f.blob("a", 5).await;
    let mut image = manifest("a", 1, &[]);
    image.references = vec![reference(5, RefKind::Blob)];
    f.push(image).await;
    assert!(f.catalog.dangling_after(0, 10).await.unwrap().is_empty());
    assert!(f.catalog.contradictions().await.unwrap().is_empty());
    assert!(f.catalog.unlink_blob(&name("a"), &digest(5)).await.unwrap());
    let found = f.catalog.dangling_after(0, 10).await.unwrap();
    assert_eq!((&found[0].parent, &found[0].child, found.len()), (&digest(1), &digest(5), 1));
    assert!(f.catalog.dangling_after(found[0].parent_id, 10).await.unwrap().is_empty());
}

pub(super) async fn f13_what_is_restored_has_its_times_and_takes_no_newer_tag(f: &Fixture) {
    let earlier = NOW - HOUR;
    let restored = |n: u64, tags: &[&str], since: Timestamp| Restored {
        manifest: manifest("a", n, &[]),
        pushed_at: since,
        tags: tags.iter().map(|text| (tag(text), since)).collect(),
    };
    assert!(f.catalog.is_empty().await.unwrap());
    let first = f.catalog.restore(&restored(1, &["old", "moved"], earlier), LEASE).await.unwrap();
    assert_eq!(
        first,
        Restoration { put: ManifestPut::Stored { created: true, moved: Vec::new() }, newer: Vec::new() }
    );
    assert!(!f.catalog.is_empty().await.unwrap());
    let Some(Record::Tag(record)) = f.catalog.record(&tag_name("a", "old")).await.unwrap().content else {
        panic!("no record")
    };
    assert_eq!(record.updated_at, earlier);
    f.push(manifest("a", 2, &["moved"])).await;
    let again = f.catalog.restore(&restored(1, &["old", "moved"], earlier), LEASE).await.unwrap();
    assert_eq!(again.newer, [tag("moved")]);
    assert_eq!(f.resolve("a", "moved").await, Some(digest(2)));
    // What is newer there moves it here.
    let later = f.catalog.restore(&restored(3, &["moved"], NOW + HOUR), LEASE).await.unwrap();
    assert!(later.newer.is_empty());
    assert_eq!(f.resolve("a", "moved").await, Some(digest(3)));
}

pub(super) async fn what_is_restored_without_a_tag_stays_as_long_as_what_lost_its_tag(f: &Fixture) {
    let restored = Restored { manifest: manifest("a", 1, &[]), pushed_at: NOW - HOUR * 9, tags: Vec::new() };
    f.catalog.restore(&restored, LEASE).await.unwrap();
    let found = async |after: Duration| {
        let now = NOW + after;
        let horizon = Horizon { now, untagged: Some(now - HOUR), released: now, deleted: now };
        f.catalog.collectable_manifests(-1, 100, horizon).await.unwrap().found.len()
    };
    assert_eq!(found(HOUR).await, 0, "the index that names it is perhaps restored next");
    assert_eq!(found(HOUR + Duration::from_micros(1)).await, 1);
    // What was there already had its time.
    f.catalog.restore(&restored, Lease { now: NOW + HOUR, ..LEASE }).await.unwrap();
    assert_eq!(found(HOUR + Duration::from_micros(1)).await, 1);
}

pub(super) async fn a_damaged_body_is_mended(f: &Fixture) {
    let row = manifest("a", 1, &["v1"]);
    f.push(row.clone()).await;
    let reference: ManifestReference = "v1".parse().unwrap();
    let held = || async { f.catalog.manifest(&name("a"), &reference).await.unwrap().unwrap().body };
    assert_eq!(held().await, row.body);
    assert!(f.catalog.mend_body(&digest(1), &"mended".into()).await.unwrap());
    assert_eq!(held().await, "mended");
    assert!(!f.catalog.mend_body(&digest(2), &"x".into()).await.unwrap());
}

pub(super) async fn a_damaged_body_is_never_served(f: &Fixture) {
    let body: bytes::Bytes = "{\"n\": 1}".into();
    let whole = Digest::of(berth_oci::Algorithm::Sha256, &body);
    f.push(NewManifest { digest: whole.clone(), body: body.clone(), ..manifest("a", 1, &["v1"]) }).await;
    let references: [ManifestReference; 2] = ["v1".parse().unwrap(), whole.as_str().parse().unwrap()];
    for reference in &references {
        assert_eq!(f.catalog.manifest(&name("a"), reference).await.unwrap().unwrap().body, body);
    }
    // As a disk does it: nobody is told.
    assert!(f.catalog.mend_body(&whole, &"{\"n\": 2}".into()).await.unwrap());
    for reference in references.iter().chain(&references) {
        let refused = f.catalog.manifest(&name("a"), reference).await.unwrap_err();
        assert!(refused.is_damage_of(&whole), "{refused}");
        assert!(refused.to_string().contains("check --repair"), "{refused}");
    }
    assert!(f.catalog.mend_body(&whole, &body).await.unwrap());
    for reference in &references {
        assert_eq!(f.catalog.manifest(&name("a"), reference).await.unwrap().unwrap().body, body);
    }
}

pub(super) async fn progress_is_kept(f: &Fixture) {
    assert_eq!(f.catalog.progress("scrub").await.unwrap(), None);
    for state in ["begun", "over"] {
        f.catalog.set_progress("scrub", state).await.unwrap();
        assert_eq!(f.catalog.progress("scrub").await.unwrap().as_deref(), Some(state));
    }
}
