use futures_util::future::join_all;

use super::*;

pub(super) async fn r11_a_blob_is_seen_only_where_it_is_linked(f: &Fixture) {
    let committed = f.blob("a/b", 7).await;
    assert!(!committed.surplus);
    assert_eq!(f.catalog.blob(&name("a/b"), &digest(7), LEASE).await.unwrap(), Some(committed.blob));
    assert!(!f.sees_blob("a/c", 7).await);
    f.blob("a/c", 8).await;
    assert!(!f.sees_blob("a/c", 7).await);
}

pub(super) async fn a_second_upload_of_one_content_is_surplus_and_the_first_row_stays(f: &Fixture) {
    let first = f.blob("a", 1).await;
    let second = f.blob("b", 1).await;
    assert!(second.surplus);
    assert_eq!(second.blob, first.blob);
    assert!(f.sees_blob("b", 1).await);
}

pub(super) async fn a_commit_repeated_after_a_lost_answer_is_not_surplus(f: &Fixture) {
    let blob = new_blob("a", 1);
    for _ in 0..2 {
        let committed = f.catalog.commit_blob(&blob, NOW, LEASE).await.unwrap().unwrap();
        assert!(!committed.surplus, "its own object would be deleted");
        assert_eq!(committed.blob.key, blob.key);
    }
}

pub(super) async fn f14_fifty_commits_of_one_blob_at_once_leave_one_row(f: &Fixture) {
    let blobs: Vec<_> = (0..50).map(|n| new_blob(["one", "two", "three"][n % 3], 9)).collect();
    let commits = blobs.iter().map(|blob| f.catalog.commit_blob(blob, NOW, LEASE));
    let all: Vec<_> = join_all(commits).await.into_iter().map(|one| one.unwrap().unwrap()).collect();
    assert_eq!(all.iter().filter(|one| !one.surplus).count(), 1);
    let winner = &all.iter().find(|one| !one.surplus).unwrap().blob;
    assert!(all.iter().all(|one| one.blob == *winner));
    assert_eq!(f.number("SELECT COUNT(*) FROM blobs").await, 1);
    assert_eq!(f.number("SELECT COUNT(*) FROM blob_links").await, 3);
}

pub(super) async fn a_commit_ends_its_session_whoever_holds_the_claim(f: &Fixture) {
    let session = new_session("a");
    f.catalog.create_upload(&session).await.unwrap();
    let writer = WriterId(Uuid::new_v4());
    f.catalog.claim_upload(&session.repo, session.id, writer, NOW, NOW + HOUR).await.unwrap();
    let blob = NewBlob { upload: Some(session.id), ..new_blob("a", 1) };
    f.catalog.commit_blob(&blob, NOW, LEASE).await.unwrap().unwrap();
    assert_eq!(f.catalog.upload(&session.repo, session.id).await.unwrap(), None);
    assert!(!f.catalog.save_upload(session.id, writer, &session.progress).await.unwrap());
    assert_eq!(f.number("SELECT COUNT(*) FROM uploads").await, 0);
}

pub(super) async fn a_mount_needs_the_link_of_the_repository_it_names(f: &Fixture) {
    let blob = f.blob("from", 1).await.blob;
    f.blob("other", 2).await;
    let mount = async |from: &str, to: &str| {
        f.catalog.mount_blob(Some(&name(from)), &name(to), &digest(1), NOW, LEASE).await.unwrap().unwrap()
    };
    assert_eq!(mount("other", "to").await, None);
    assert_eq!(mount("nowhere", "to").await, None);
    let listed = f.catalog.repositories(None, 10).await.unwrap();
    assert_eq!(listed, [name("from"), name("other")], "a mount that failed left a repository");
    assert_eq!(mount("from", "to").await, Some(blob));
    assert!(f.sees_blob("to", 1).await);
    assert!(mount("from", "to").await.is_some(), "again");
}

pub(super) async fn a_mount_from_anywhere_takes_any_link(f: &Fixture) {
    let mount =
        async |n| f.catalog.mount_blob(None, &name("to"), &digest(n), NOW, LEASE).await.unwrap().unwrap();
    let blob = f.blob("from", 1).await.blob;
    assert_eq!(mount(2).await, None);
    assert!(f.catalog.unlink_blob(&name("from"), &digest(1)).await.unwrap());
    assert_eq!(mount(1).await, None, "nobody links it");
    f.blob("again", 1).await;
    assert_eq!(mount(1).await, Some(blob));
}

pub(super) async fn r12_an_unlinked_blob_is_gone_at_once_and_stays_elsewhere(f: &Fixture) {
    f.blob("a", 1).await;
    f.blob("b", 1).await;
    assert!(f.sees_blob("a", 1).await);
    assert!(f.catalog.unlink_blob(&name("a"), &digest(1)).await.unwrap());
    assert!(!f.sees_blob("a", 1).await);
    assert!(f.sees_blob("b", 1).await);
    assert!(!f.catalog.unlink_blob(&name("a"), &digest(1)).await.unwrap());
}

/// The end of the only lease.
async fn lease_end(f: &Fixture) -> Timestamp {
    Timestamp(f.number("SELECT lease_until FROM blobs").await)
}

pub(super) async fn f16_a_look_renews_a_lease_that_is_half_over(f: &Fixture) {
    f.blob("a", 1).await;
    let look = async |after: Duration| {
        let lease = Lease { now: NOW + after, ..LEASE };
        assert!(f.catalog.blob(&name("a"), &digest(1), lease).await.unwrap().is_some());
        lease_end(f).await
    };
    assert_eq!(look(HOUR * 4 / 10).await, NOW + HOUR);
    assert_eq!(look(HOUR * 6 / 10).await, NOW + HOUR * 16 / 10);
    assert_eq!(look(HOUR * 50).await, NOW + HOUR * 51);
}

pub(super) async fn what_uses_a_blob_renews_its_lease_and_never_shortens_it(f: &Fixture) {
    let later = |hours: u32| Lease { now: NOW + HOUR * hours, ..LEASE };
    f.blob("a", 1).await;
    f.catalog.commit_blob(&new_blob("a", 1), NOW, later(2)).await.unwrap().unwrap();
    assert_eq!(lease_end(f).await, NOW + HOUR * 3);
    f.catalog.mount_blob(None, &name("b"), &digest(1), NOW, later(4)).await.unwrap().unwrap();
    assert_eq!(lease_end(f).await, NOW + HOUR * 5);
    let mut image = manifest("a", 10, &[]);
    image.references = vec![reference(1, RefKind::Blob)];
    f.catalog.put_manifest(&image, NOW, later(6)).await.unwrap();
    assert_eq!(lease_end(f).await, NOW + HOUR * 7);
    f.catalog.put_manifest(&image, NOW, LEASE).await.unwrap();
    f.catalog.commit_blob(&new_blob("a", 1), NOW, LEASE).await.unwrap().unwrap();
    f.catalog.mount_blob(None, &name("c"), &digest(1), NOW, LEASE).await.unwrap().unwrap();
    assert_eq!(lease_end(f).await, NOW + HOUR * 7);
}
