use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Everything that was done by `after` from the beginning is old enough.
fn horizon(after: Duration) -> Horizon {
    let now = NOW + after;
    Horizon { now, untagged: Some(now - HOUR), released: now - HOUR, deleted: now - DAY }
}

/// When leases of [`NOW`] are over and what was pushed then is old.
fn later() -> Horizon {
    horizon(HOUR * 3)
}

/// An image or index that refers to these.
fn holder(repo: &str, n: u64, kind: RefKind, held: &[u64], tags: &[&str]) -> NewManifest {
    let references = held.iter().map(|held| reference(*held, kind)).collect();
    NewManifest { references, max_depth: 20_000, ..manifest(repo, n, tags) }
}

fn of_subject(repo: &str, n: u64, subject: u64, tags: &[&str]) -> NewManifest {
    NewManifest { subject: Some(digest(subject)), ..manifest(repo, n, tags) }
}

impl Fixture {
    /// Collects all manifests that may go; how many went.
    async fn collect(&self, horizon: Horizon) -> usize {
        let mut gone = 0;
        let found = self.collectable(horizon).await;
        for some in found.chunks(100) {
            gone += self.catalog.collect_manifests(some, horizon, 100).await.unwrap().len();
        }
        gone + self.collect_released(horizon).await
    }

    /// Manifests that may go.
    async fn collectable(&self, horizon: Horizon) -> Vec<ManifestId> {
        let found = self.catalog.collectable_manifests(-1, 100_000, horizon).await.unwrap().found;
        found.into_iter().map(|manifest| manifest.id).collect()
    }

    async fn collect_released(&self, horizon: Horizon) -> usize {
        let (mut gone, mut before) = (0, usize::MAX);
        while gone != before {
            before = gone;
            let mut after = -1;
            loop {
                let released = self.catalog.collect_released(after, horizon, 200).await.unwrap();
                gone += released.removed.len();
                match released.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        gone
    }

    /// Sweeps all blobs that may go.
    async fn sweep(&self, horizon: Horizon) -> SweptBlobs {
        let found = self.catalog.collectable_blobs("", 100_000, horizon).await.unwrap().found;
        self.catalog.sweep_blobs(&found, horizon).await.unwrap()
    }

    async fn has(&self, repo: &str, n: u64) -> bool {
        self.resolve(repo, digest(n).as_str()).await.is_some()
    }

    async fn kept(&self, repo: &str, ns: &[u64]) -> Vec<u64> {
        let mut kept = Vec::new();
        for &n in ns {
            if self.has(repo, n).await {
                kept.push(n);
            }
        }
        kept
    }

    async fn bury_tag(&self, repo: &str, text: &str) {
        let burial = Burial { now: NOW + HOUR * 2, keep: true };
        assert!(self.catalog.delete_tag(&name(repo), &tag(text), burial).await.unwrap());
    }

    async fn bury(&self, repo: &str, n: u64) {
        let burial = Burial { now: NOW + HOUR * 2, keep: true };
        let gone = self.catalog.delete_manifest(&name(repo), &digest(n), Arc::new(|_| false), burial).await;
        assert!(matches!(gone.unwrap(), ManifestDelete::Deleted(_)));
    }

    async fn undelete(&self, repo: &str, reference: &str, horizon: Horizon) -> Undeleted {
        self.catalog.undelete(&name(repo), &reference.parse().unwrap(), horizon).await.unwrap()
    }
}

pub(super) async fn an_untagged_manifest_goes_once_it_is_old_and_nothing_holds_it(f: &Fixture) {
    f.push(manifest("a", 1, &["x"])).await;
    f.push(manifest("a", 2, &[])).await;
    f.push(manifest("b", 2, &["x"])).await;
    assert_eq!(f.collect(horizon(HOUR)).await, 0, "too young");
    assert_eq!(f.collect(Horizon { untagged: None, ..later() }).await, 0, "untagged manifests are kept");
    assert!(f.has("a", 2).await, "and now it is in memory");
    assert_eq!(f.collect(later()).await, 1);
    assert_eq!(f.kept("a", &[1, 2]).await, [1]);
    assert!(f.has("b", 2).await);
    assert_eq!(f.number("SELECT COUNT(*) FROM manifest_bodies").await, 2);
}

pub(super) async fn an_index_holds_its_children_and_goes_before_them(f: &Fixture) {
    f.push(manifest("a", 1, &[])).await;
    f.push(manifest("a", 2, &["kept"])).await;
    f.push(holder("a", 3, RefKind::Child, &[1, 2], &[])).await;
    f.push(holder("a", 4, RefKind::Child, &[3], &["top"])).await;
    assert_eq!(f.collect(later()).await, 0);
    assert!(f.catalog.delete_tag(&name("a"), &tag("top"), GONE).await.unwrap());
    // One at a time: what is left is written down.
    let found = f.collectable(later()).await;
    let removed = f.catalog.collect_manifests(&found, later(), 1).await.unwrap();
    assert_eq!(removed.iter().map(|one| one.digest.clone()).collect::<Vec<_>>(), [digest(4)]);
    assert_eq!(f.collect_released(later()).await, 2);
    assert_eq!(f.kept("a", &[1, 2, 3, 4]).await, [2]);
    assert_eq!(f.number("SELECT COUNT(*) FROM released_manifests").await, 0);
}

pub(super) async fn a_subject_and_what_refers_to_it_live_and_go_together(f: &Fixture) {
    // An image, its list of parts, and the signature of that list.
    f.push(manifest("a", 1, &["x"])).await;
    f.push(of_subject("a", 2, 1, &[])).await;
    f.push(of_subject("a", 3, 2, &[])).await;
    // A tagged signature of something without a tag.
    f.push(manifest("a", 4, &[])).await;
    f.push(of_subject("a", 5, 4, &[])).await;
    f.push(of_subject("a", 6, 5, &["signature"])).await;
    // A signature of something that is not there.
    f.push(of_subject("a", 7, 99, &[])).await;
    assert_eq!(f.collect(later()).await, 1);
    assert_eq!(f.kept("a", &[1, 2, 3, 4, 5, 6, 7]).await, [1, 2, 3, 4, 5, 6]);
    for text in ["x", "signature"] {
        assert!(f.catalog.delete_tag(&name("a"), &tag(text), GONE).await.unwrap());
    }
    assert_eq!(f.collect(later()).await, 6);
}

pub(super) async fn what_was_tagged_until_lately_stays(f: &Fixture) {
    f.push(manifest("a", 1, &["latest"])).await;
    f.push(manifest("a", 2, &["other"])).await;
    let at = NOW + HOUR * 3;
    f.catalog.put_manifest(&manifest("a", 3, &["latest"]), at, LEASE).await.unwrap();
    f.catalog.delete_tag(&name("a"), &tag("other"), Burial { now: at, keep: false }).await.unwrap();
    assert_eq!(f.collect(horizon(HOUR * 4 - Duration::from_secs(1))).await, 0);
    assert_eq!(f.collect(horizon(HOUR * 5)).await, 2);
    assert_eq!(f.kept("a", &[1, 2, 3]).await, [3]);
}

pub(super) async fn r17_a_chain_of_ten_thousand_is_collected_step_by_step(f: &Fixture) {
    const DEEP: u64 = 10_000;
    f.push(manifest("a", 0, &[])).await;
    for n in 1..DEEP {
        f.push(holder("a", n, RefKind::Child, &[n - 1], &[])).await;
    }
    let top = manifest("a", DEEP, &["top"]);
    f.push(NewManifest { references: vec![reference(DEEP - 1, RefKind::Child)], max_depth: 20_000, ..top })
        .await;
    assert!(f.catalog.collectable_manifests(-1, 100_000, later()).await.unwrap().found.is_empty());
    assert!(f.catalog.delete_tag(&name("a"), &tag("top"), GONE).await.unwrap());
    assert_eq!(f.collect(later()).await, 10_001);
    assert_eq!(f.number("SELECT COUNT(*) FROM manifests").await, 0);
    assert_eq!(f.number("SELECT COUNT(*) FROM manifest_refs").await, 0);
}

pub(super) async fn a_blob_that_no_manifest_needs_goes_when_its_lease_is_over(f: &Fixture) {
    let key = f.blob("a", 1).await.blob.key;
    f.blob("a", 2).await;
    f.push(holder("a", 10, RefKind::Blob, &[2], &["x"])).await;
    assert_eq!(f.sweep(horizon(HOUR / 2)).await, SweptBlobs::default());
    let swept = f.sweep(later()).await;
    assert_eq!(swept, SweptBlobs { links: 1, objects: vec![DoomedObject { key, size: 1 }] });
    assert_eq!((f.sees_blob("a", 1).await, f.sees_blob("a", 2).await), (false, true));
}

pub(super) async fn layers_that_an_index_lists_are_needed(f: &Fixture) {
    f.blob("a", 1).await;
    f.push(holder("a", 10, RefKind::Child, &[1], &["cache"])).await;
    assert_eq!(f.sweep(later()).await, SweptBlobs::default());
    assert!(f.delete(&name("a"), &digest(10)).await);
    assert_eq!(f.sweep(later()).await.objects.len(), 1);
}

pub(super) async fn a_link_goes_where_it_is_not_needed_and_stays_where_it_is(f: &Fixture) {
    for repo in ["a", "b", "c"] {
        f.blob(repo, 1).await;
    }
    f.push(holder("b", 10, RefKind::Blob, &[1], &["x"])).await;
    assert_eq!(f.sweep(later()).await, SweptBlobs { links: 2, objects: vec![] });
    assert!(!f.sees_blob("a", 1).await);
    assert!(f.sees_blob("b", 1).await);
}

pub(super) async fn f16_whoever_looks_at_a_blob_keeps_it_from_collection(f: &Fixture) {
    f.blob("a", 1).await;
    let found = f.catalog.collectable_blobs("", 100, later()).await.unwrap().found;
    assert_eq!(found, [digest(1)]);
    // Between the look of the sweep and its deed.
    let lease = Lease { now: later().now, length: HOUR };
    assert!(f.catalog.blob(&name("a"), &digest(1), lease).await.unwrap().is_some());
    assert_eq!(f.catalog.sweep_blobs(&found, later()).await.unwrap(), SweptBlobs::default());
    let image = holder("a", 10, RefKind::Blob, &[1], &["x"]);
    let put = f.catalog.put_manifest(&image, later().now, lease).await.unwrap();
    assert!(matches!(put, ManifestPut::Stored { .. }), "{put:?}");
}

pub(super) async fn a_doomed_object_is_remembered_until_it_is_forgotten(f: &Fixture) {
    let key = f.blob("a", 1).await.blob.key;
    f.sweep(later()).await;
    let doomed = [DoomedObject { key: key.clone(), size: 1 }];
    assert_eq!(f.catalog.doomed_objects(10).await.unwrap(), doomed);
    f.catalog.forget_objects(&[key]).await.unwrap();
    assert_eq!(f.catalog.doomed_objects(10).await.unwrap(), []);
}

pub(super) async fn r12_content_that_comes_back_gets_another_object(f: &Fixture) {
    let first = f.blob("a", 1).await.blob.key;
    f.sweep(later()).await;
    assert!(!f.sees_blob("a", 1).await);
    assert_eq!(f.catalog.mount_blob(None, &name("b"), &digest(1), NOW, LEASE).await.unwrap(), Ok(None));
    let again = f.blob("a", 1).await;
    assert!(!again.surplus);
    assert_ne!(again.blob.key, first);
    assert!(f.sees_blob("a", 1).await);
}

pub(super) async fn what_was_deleted_comes_back_as_it_was(f: &Fixture) {
    f.blob("a", 1).await;
    f.push(holder("a", 10, RefKind::Blob, &[1], &["x", "y"])).await;
    f.push(holder("a", 11, RefKind::Child, &[10], &["top"])).await;
    f.push(of_subject("a", 12, 10, &[])).await;
    let before = f.catalog.manifest(&name("a"), &"x".parse().unwrap()).await.unwrap();
    for n in [12, 11, 10] {
        f.bury("a", n).await;
    }
    f.collect(later()).await;
    assert_eq!(f.sweep(later()).await, SweptBlobs { links: 1, objects: vec![] }, "its bytes are kept");
    assert_eq!(f.undelete("a", "unknown", later()).await, Undeleted::Unknown);
    let listed = f.catalog.deleted(None, None, 10, later()).await.unwrap();
    let names: Vec<_> = listed.iter().map(|one| one.reference.to_string()).collect();
    assert_eq!(names[..3], ["top", "x", "y"], "{listed:?}");
    let after = (&listed[1].repo, &listed[1].reference);
    assert_eq!(f.catalog.deleted(None, Some(after), 10, later()).await.unwrap(), listed[2..]);
    assert_eq!(f.catalog.deleted(Some(&name("b")), None, 10, later()).await.unwrap(), []);

    let back = f.undelete("a", "top", later()).await;
    let Undeleted::Restored { manifests, tags } = back else { panic!("{back:?}") };
    assert_eq!((manifests.len(), tags), (3, vec![tag("top")]), "with what it holds and what refers to that");
    assert_eq!(f.kept("a", &[10, 11, 12]).await, [10, 11, 12]);
    assert!(f.sees_blob("a", 1).await);
    let back = f.undelete("a", "x", later()).await;
    assert_eq!(back, Undeleted::Restored { manifests: vec![], tags: vec![tag("x")] });
    assert_eq!(f.catalog.manifest(&name("a"), &"x".parse().unwrap()).await.unwrap(), before);
    let back = f.undelete("a", digest(10).as_str(), later()).await;
    assert_eq!(back, Undeleted::Restored { manifests: vec![], tags: vec![tag("y")] }, "what is left of it");
    assert_eq!(f.undelete("a", digest(10).as_str(), later()).await, Undeleted::Unknown);
    assert_eq!(f.sweep(horizon(DAY)).await, SweptBlobs::default());
}

pub(super) async fn what_can_come_back_is_neither_pulled_nor_mounted(f: &Fixture) {
    f.blob("a", 1).await;
    f.push(holder("a", 10, RefKind::Blob, &[1], &["x"])).await;
    f.push(of_subject("a", 11, 10, &[])).await;
    f.bury("a", 11).await;
    f.bury("a", 10).await;
    assert_eq!(f.resolve("a", "x").await, None);
    assert!(!f.has("a", 10).await);
    let limit = ReferrersLimit { entries: 10, bytes: 1 << 20 };
    assert_eq!(f.catalog.referrers(&name("a"), &digest(10), None, None, limit).await.unwrap().rows, []);
    f.sweep(later()).await;
    assert!(!f.sees_blob("a", 1).await);
    assert_eq!(f.catalog.mount_blob(None, &name("b"), &digest(1), NOW, LEASE).await.unwrap(), Ok(None));
    assert_eq!(f.catalog.repositories(None, 10).await.unwrap(), []);
}

pub(super) async fn what_was_deleted_too_long_ago_is_gone(f: &Fixture) {
    f.blob("a", 1).await;
    f.push(holder("a", 10, RefKind::Blob, &[1], &["x"])).await;
    f.bury("a", 10).await;
    let over = horizon(HOUR * 2 + DAY + HOUR);
    assert_eq!(f.undelete("a", "x", over).await, Undeleted::Unknown);
    assert_eq!(f.catalog.deleted(None, None, 10, over).await.unwrap(), []);
    assert_eq!(f.catalog.expire_deleted(later(), 10).await.unwrap(), 0);
    assert_eq!(f.sweep(later()).await.objects, []);
    assert_eq!(f.catalog.expire_deleted(over, 10).await.unwrap(), 2);
    assert_eq!(f.sweep(over).await.objects.len(), 1);
    for rows in ["SELECT COUNT(*) FROM manifest_bodies", "SELECT COUNT(*) FROM deleted_refs"] {
        assert_eq!(f.number(rows).await, 0, "{rows}");
    }
}

pub(super) async fn a_tag_that_was_set_anew_is_not_taken_by_one_that_comes_back(f: &Fixture) {
    f.push(manifest("a", 1, &["x"])).await;
    f.bury_tag("a", "x").await;
    f.push(manifest("a", 2, &["x"])).await;
    assert_eq!(f.undelete("a", "x", later()).await, Undeleted::Taken(digest(2)));
    assert_eq!(f.resolve("a", "x").await, Some(digest(2)));
    // While the tag can come back, so can what it pointed at.
    assert_eq!(f.collect(later()).await, 0);
    assert!(f.has("a", 1).await);
}

pub(super) async fn what_refers_to_a_deleted_manifest_waits_with_it(f: &Fixture) {
    f.push(manifest("a", 1, &["x"])).await;
    f.push(of_subject("a", 2, 1, &[])).await;
    f.push(of_subject("a", 3, 2, &[])).await;
    f.bury("a", 1).await;
    assert_eq!(f.collect(later()).await, 0, "its signature comes back with it");
    let back = f.undelete("a", digest(1).as_str(), later()).await;
    assert_eq!(back, Undeleted::Restored { manifests: vec![digest(1)], tags: vec![tag("x")] });
    f.bury("a", 1).await;
    let over = horizon(DAY * 3);
    f.catalog.expire_deleted(over, 100).await.unwrap();
    assert_eq!(f.collect(over).await, 2);
}

pub(super) async fn retention_lets_go_of_a_tag_with_all_that_only_it_held(f: &Fixture) {
    f.blob("a", 1).await;
    f.push(holder("a", 10, RefKind::Blob, &[1], &[])).await;
    f.push(manifest("a", 11, &["shared"])).await;
    f.push(holder("a", 12, RefKind::Child, &[10, 11], &["old", "older"])).await;
    let kept = Horizon { untagged: None, ..later() };
    let burial = Burial { now: later().now, keep: true };
    let ages = f.catalog.tag_ages(&name("a"), None, 10).await.unwrap();
    assert_eq!(ages.len(), 3);
    let retire = async |n: usize| f.catalog.retire_tags(&name("a"), &ages[n..=n], burial).await.unwrap();
    assert_eq!(retire(0).await, [tag("old")]);
    assert_eq!(f.collect_released(kept).await, 0, "another tag holds it");
    assert_eq!(retire(1).await, [tag("older")]);
    assert_eq!(f.resolve("a", "older").await, None);
    let young = Horizon { released: NOW - HOUR, ..kept };
    assert_eq!(f.collect_released(young).await, 0, "too young");
    assert_eq!(f.collect_released(kept).await, 2, "though untagged manifests are kept");
    assert_eq!(f.kept("a", &[10, 11, 12]).await, [11]);
    assert_eq!(f.sweep(kept).await, SweptBlobs { links: 1, objects: vec![] });
    let back = f.undelete("a", "older", kept).await;
    assert_eq!(
        back,
        Undeleted::Restored { manifests: vec![digest(12), digest(10)], tags: vec![tag("older")] }
    );
    assert!(f.sees_blob("a", 1).await);
}

pub(super) async fn a_tag_that_was_pushed_since_is_not_retired(f: &Fixture) {
    f.push(manifest("a", 1, &["x"])).await;
    let ages = f.catalog.tag_ages(&name("a"), None, 10).await.unwrap();
    f.catalog.put_manifest(&manifest("a", 1, &["x"]), NOW + HOUR, LEASE).await.unwrap();
    let burial = Burial { now: NOW + HOUR, keep: true };
    assert_eq!(f.catalog.retire_tags(&name("a"), &ages, burial).await.unwrap(), []);
    assert_eq!(f.resolve("a", "x").await, Some(digest(1)));
    assert_eq!(f.number("SELECT COUNT(*) FROM deleted_tags").await, 0);
}

pub(super) async fn an_estimate_is_what_a_run_then_does(f: &Fixture) {
    for n in 1..=4 {
        f.blob("a", n).await;
    }
    f.push(holder("a", 10, RefKind::Blob, &[1, 2], &[])).await;
    f.push(holder("a", 11, RefKind::Blob, &[2, 3], &["kept"])).await;
    f.push(holder("a", 12, RefKind::Child, &[10], &["index"])).await;
    f.push(of_subject("a", 13, 12, &[])).await;
    // Blob 4 is nobody's; 1 goes with its image, 2 is shared.
    let none = f.catalog.estimate(&[], later(), false).await.unwrap();
    assert_eq!(none, Estimate { manifests: 0, blobs: 1, bytes: 4 });
    let plan = [(name("a"), tag("index"))];
    let all = Estimate { manifests: 3, blobs: 1, bytes: 4 };
    assert_eq!(
        f.catalog.estimate(&plan, later(), false).await.unwrap(),
        all,
        "blob 1 is kept with its image"
    );
    let at_once = Horizon { deleted: later().now, ..later() };
    let more = Estimate { blobs: 2, bytes: 1 + 4, ..all };
    assert_eq!(
        f.catalog.estimate(&plan, at_once, false).await.unwrap(),
        more,
        "unless that cannot come back"
    );
    let forever = Estimate { manifests: 3, blobs: 1, bytes: 1 };
    assert_eq!(f.catalog.estimate(&plan, horizon(Duration::ZERO), true).await.unwrap(), forever);
    assert_eq!(f.resolve("a", "index").await, Some(digest(12)), "nothing was changed");

    let ages = f.catalog.tag_ages(&name("a"), None, 1).await.unwrap();
    let burial = Burial { now: later().now, keep: false };
    f.catalog.retire_tags(&name("a"), &ages, burial).await.unwrap();
    assert_eq!(f.collect(later()).await, 3);
    let far = horizon(DAY * 3);
    f.catalog.expire_deleted(far, 100).await.unwrap();
    assert_eq!(f.sweep(far).await.objects.iter().map(|object| object.size).sum::<u64>(), 5);
}

pub(super) async fn objects_that_no_row_and_no_session_names_are_orphans(f: &Fixture) {
    let named = f.blob("a", 1).await.blob.key;
    let session = new_session("a");
    f.catalog.create_upload(&session).await.unwrap();
    let key = |text: &str| ObjectKey(text.to_owned());
    let other = Uuid::new_v4().to_string();
    let objects = [
        (named, other.clone()),
        (key("blobs/begun"), session.id.to_string()),
        (key("blobs/nobody's"), other),
    ];
    assert_eq!(f.catalog.orphans(&objects).await.unwrap(), [key("blobs/nobody's")]);
}

pub(super) async fn a_repository_without_anything_is_forgotten(f: &Fixture) {
    f.push(manifest("a", 1, &["x"])).await;
    f.push(manifest("b", 1, &["x"])).await;
    f.push(manifest("c", 1, &["x"])).await;
    f.blob("d", 2).await;
    assert!(f.delete(&name("b"), &digest(1)).await);
    f.bury("c", 1).await;
    let forgotten = f.catalog.forget_empty_repositories(-1, 100).await.unwrap().found;
    assert_eq!(forgotten, [name("b")]);
    assert_eq!(f.catalog.tags(&name("b"), None, 10).await.unwrap(), None);
    f.push(manifest("b", 1, &["x"])).await;
    assert_eq!(f.resolve("b", "x").await, Some(digest(1)));
}

/// Pushes whose leases are over by the time that they come to their manifest see either all of their
/// blobs or are told what is missing; what is stored is whole.
pub(super) async fn f15_pushes_beside_a_collection_are_never_torn(f: &Fixture) {
    let over = Lease { now: NOW - HOUR * 5, length: HOUR };
    let sweeping = async |rounds: usize| {
        for _ in 0..rounds {
            f.collect(horizon(HOUR)).await;
            f.sweep(horizon(Duration::ZERO)).await;
        }
    };
    let pushing = async |from: u64| {
        let mut stored = 0;
        for n in from..from + 60 {
            f.catalog.commit_blob(&new_blob("a", n), over.now, over).await.unwrap().unwrap();
            let old = holder("a", 1000 + n, RefKind::Blob, &[n], &[]);
            match f.catalog.put_manifest(&old, over.now, over).await.unwrap() {
                ManifestPut::Stored { .. } => {}
                ManifestPut::Missing(_) => continue,
                other => panic!("{other:?}"),
            }
            let index = holder("a", 2000 + n, RefKind::Child, &[1000 + n], &[&format!("t{n}")]);
            match f.catalog.put_manifest(&index, over.now, over).await.unwrap() {
                ManifestPut::Stored { .. } => stored += 1,
                ManifestPut::Missing(_) => {}
                other => panic!("{other:?}"),
            }
        }
        stored
    };
    let (one, two, three, ()) = tokio::join!(pushing(100), pushing(200), pushing(300), sweeping(60));
    assert!(one + two + three > 0, "nothing came through");
    f.sweep(later()).await;
    let torn = "SELECT COUNT(*) FROM manifest_refs r WHERE NOT EXISTS \
         (SELECT 1 FROM blob_links l WHERE l.digest = r.child AND l.repo_id = r.repo_id) AND NOT EXISTS \
         (SELECT 1 FROM manifests m WHERE m.digest = r.child AND m.repo_id = r.repo_id)";
    assert_eq!(f.number(torn).await, 0);
    assert_eq!(f.number("SELECT COUNT(*) FROM tags").await, one + two + three);
}
