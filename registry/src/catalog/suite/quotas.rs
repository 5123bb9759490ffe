use futures_util::future::join_all;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::*;

/// Every namespace may hold `limit` bytes.
fn govern(f: &Fixture, limit: u64) {
    f.catalog.govern(NamespaceRules { limit_of: Arc::new(move |_| Some(limit)), max_repositories: 0 });
}

fn namespace(text: &str) -> Namespace {
    text.parse().unwrap()
}

async fn used(f: &Fixture, of: &str) -> u64 {
    f.catalog.namespace(&namespace(of)).await.unwrap().bytes
}

/// A blob of `size` bytes.
fn sized(repo: &str, n: u64, size: u64) -> NewBlob {
    NewBlob { size, ..new_blob(repo, n) }
}

async fn pushed(f: &Fixture, blob: NewBlob) -> Result<Committed, Refusal> {
    f.catalog.commit_blob(&blob, NOW, LEASE).await.unwrap()
}

async fn is_right(f: &Fixture, of: &str) -> u64 {
    let found = f.catalog.recount(&namespace(of), false).await.unwrap();
    assert!(found.is_right(), "{of}: {found:?}");
    found.counted
}

pub(super) async fn a_content_counts_once_in_its_namespace_until_its_last_link_goes(f: &Fixture) {
    for repo in ["team/a", "team/b", "team", "team-x/a", "other"] {
        pushed(f, sized(repo, 1, 1000)).await.unwrap();
    }
    pushed(f, sized("team/a", 1, 1000)).await.unwrap();
    assert_eq!((used(f, "team").await, used(f, "team-x").await), (1000, 1000));
    let image = manifest("team/a", 7, &["latest"]);
    let size = image.body.len() as u64;
    f.push(image.clone()).await;
    f.push(NewManifest { repo: name("team/b"), ..image.clone() }).await;
    f.push(image).await;
    assert_eq!(used(f, "team").await, 1000 + size);
    for (repo, left) in [("team/a", 1000), ("team", 1000), ("team/b", 0)] {
        assert!(f.catalog.unlink_blob(&name(repo), &digest(1)).await.unwrap());
        assert_eq!(used(f, "team").await, left + size, "{repo}");
    }
    assert!(f.delete(&name("team/a"), &digest(7)).await);
    assert_eq!(used(f, "team").await, size);
    f.catalog.fold().await.unwrap();
    assert_eq!(used(f, "team").await, size);
    assert!(f.delete(&name("team/b"), &digest(7)).await);
    assert_eq!((used(f, "team").await, used(f, "team-x").await, used(f, "new").await), (0, 1000, 0));
    is_right(f, "team").await;
}

pub(super) async fn what_does_not_fit_is_refused_to_the_byte_and_leaves_nothing(f: &Fixture) {
    pushed(f, sized("elsewhere", 5, 41)).await.unwrap();
    govern(f, 100);
    pushed(f, sized("team/a", 1, 60)).await.unwrap();
    let team = namespace("team");
    let refusal = Refusal::Bytes { namespace: team.clone(), used: 60, limit: 100, size: 41 };
    assert_eq!(pushed(f, sized("team/b", 2, 41)).await.unwrap_err(), refusal);
    let mounted = f
        .catalog
        .mount_blob(Some(&name("elsewhere")), &name("team/b"), &digest(5), NOW, LEASE)
        .await
        .unwrap();
    assert_eq!(mounted.unwrap_err(), refusal);
    let mut image = manifest("team/b", 3, &["latest"]);
    image.body = vec![b' '; 41].into();
    let put = f.catalog.put_manifest(&image, NOW, LEASE).await.unwrap();
    assert_eq!(put, ManifestPut::Refused(refusal));
    assert_eq!(f.number("SELECT COUNT(*) FROM repositories WHERE name = 'team/b'").await, 0);
    assert_eq!(f.number("SELECT COUNT(*) FROM blobs").await, 2);
    assert_eq!(f.number("SELECT COUNT(*) FROM manifest_bodies").await, 0);
    let room = f.catalog.room(&name("team/x"), None).await.unwrap();
    assert_eq!(room, Some(Room { namespace: team, used: 60, limit: 100 }));
    assert_eq!(f.catalog.room(&name("team/x"), Some(&digest(1))).await.unwrap(), None, "it has that");

    pushed(f, sized("team/b", 2, 40)).await.unwrap();
    pushed(f, sized("team/c", 2, 40)).await.unwrap();
    pushed(f, sized("team/c", 6, 0)).await.unwrap();
    pushed(f, sized("team/c", 4, 1)).await.unwrap_err();
    f.catalog.unlink_blob(&name("team/a"), &digest(1)).await.unwrap();
    pushed(f, sized("team/c", 4, 1)).await.unwrap();
    assert_eq!(is_right(f, "team").await, 41);
}

pub(super) async fn a_limit_that_is_set_goes_before_the_configured_one(f: &Fixture) {
    let team = namespace("team");
    let set = async |quota| f.catalog.set_quota(&team, quota, NOW).await.unwrap();
    set(SetQuota::Bytes(10)).await;
    pushed(f, sized("team/a", 1, 50)).await.expect("nobody governs yet: whoever restores must come through");
    govern(f, 100);
    assert!(pushed(f, sized("team/a", 2, 1)).await.is_err());
    set(SetQuota::Unset).await;
    pushed(f, sized("team/a", 2, 50)).await.unwrap();
    assert!(pushed(f, sized("team/a", 3, 1)).await.is_err());
    set(SetQuota::Unlimited).await;
    pushed(f, sized("team/a", 4, 1 << 50)).await.unwrap();
    set(SetQuota::Bytes(1 << 51)).await;
    pushed(f, sized("team/a", 5, 1 << 49)).await.unwrap();
    let all = f.catalog.namespaces(None, 10).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].set, SetQuota::Bytes(1 << 51));
}

/// Pushes of many at once, far from the limit at first and then over it.
pub(super) async fn of_many_pushes_at_once_as_many_are_taken_as_fit(f: &Fixture) {
    for (of, limit, size, pushes) in [("small", 12_800, 100, 300_u64), ("large", 1000, 70, 40)] {
        govern(f, limit);
        let one = async |n: u64| pushed(f, sized(&format!("{of}/{}", n % 7), limit * 1000 + n, size)).await;
        let all = join_all((0..pushes).map(one)).await;
        let taken = all.iter().filter(|one| one.is_ok()).count() as u64;
        assert_eq!(taken, limit / size, "{of}");
        assert_eq!(is_right(f, of).await, taken * size);
        for refusal in all.iter().filter_map(|one| one.as_ref().err()) {
            let Refusal::Bytes { used, .. } = refusal else { panic!("{refusal}") };
            assert!(used + size > limit, "refused with {used} of {limit} used");
        }
    }
}

pub(super) async fn a_content_that_comes_and_goes_beside_a_full_quota_never_exceeds_it(f: &Fixture) {
    govern(f, 1000);
    pushed(f, sized("team/a", 1, 600)).await.unwrap();
    for round in 0..30 {
        let again = async { pushed(f, sized("team/b", 1, 600)).await.is_ok() };
        let gone = async { f.catalog.unlink_blob(&name("team/a"), &digest(1)).await.unwrap() };
        let other = async { pushed(f, sized("team/c", 1000 + round, 600)).await.is_ok() };
        let (again, _, other) = tokio::join!(again, gone, other);
        assert!(!(again && other), "both cannot fit");
        assert!(is_right(f, "team").await <= 1000);
        for repo in ["team/b", "team/c"] {
            for n in [1, 1000 + round] {
                f.catalog.unlink_blob(&name(repo), &digest(n)).await.unwrap();
            }
        }
        pushed(f, sized("team/a", 1, 600)).await.unwrap();
    }
}

pub(super) async fn what_is_kept_is_what_a_fresh_count_finds_whatever_was_done(f: &Fixture) {
    govern(f, 5000);
    f.catalog.set_quota(&namespace("free"), SetQuota::Unlimited, NOW).await.unwrap();
    let repos = ["team/a", "team/b", "team", "free/a", "free/b", "teams"];
    for seed in 0..4 {
        let worker = async |worker: u64| {
            let mut dice = StdRng::seed_from_u64(seed * 100 + worker);
            for _ in 0..60 {
                let repo = repos[dice.random_range(0..repos.len())];
                let n = dice.random_range(1..12_u64);
                match dice.next_u32() % 8 {
                    0..3 => drop(pushed(f, sized(repo, n, n * 100)).await),
                    3 => {
                        let to = name(repos[dice.random_range(0..repos.len())]);
                        let from = name(repo);
                        f.catalog.mount_blob(Some(&from), &to, &digest(n), NOW, LEASE).await.unwrap().ok();
                    }
                    4 => drop(f.catalog.unlink_blob(&name(repo), &digest(n)).await.unwrap()),
                    5 => {
                        let image = manifest(repo, 100 + n, &["latest"]);
                        f.catalog.put_manifest(&image, NOW, LEASE).await.unwrap();
                    }
                    6 => drop(f.delete(&name(repo), &digest(100 + n)).await),
                    _ => drop(f.catalog.fold().await.unwrap()),
                }
            }
        };
        join_all((0..6).map(worker)).await;
        for of in ["team", "free", "teams"] {
            let held = is_right(f, of).await;
            assert!(of == "free" || held <= 5000, "{of} holds {held}");
        }
    }
}

pub(super) async fn a_recount_finds_and_mends_what_was_changed_past_the_registry(f: &Fixture) {
    pushed(f, sized("team/a", 1, 70)).await.unwrap();
    pushed(f, sized("team/b", 1, 70)).await.unwrap();
    pushed(f, sized("team/b", 2, 30)).await.unwrap();
    f.catalog.fold().await.unwrap();
    assert_eq!(is_right(f, "team").await, 100);
    let team = namespace("team");
    for ruin in [
        "UPDATE namespace_usage SET bytes = bytes + 11 RETURNING bytes",
        "UPDATE namespace_contents SET uses = 5 WHERE size = 70 RETURNING uses",
        "DELETE FROM namespace_contents WHERE size = 30 RETURNING uses",
    ] {
        f.number(ruin).await;
        let found = f.catalog.recount(&team, false).await.unwrap();
        assert!(!found.is_right(), "{ruin}");
        assert_eq!(found.counted, 100);
        assert_eq!(f.catalog.recount(&team, true).await.unwrap(), found);
        assert_eq!(is_right(f, "team").await, 100);
    }
    f.catalog.unlink_blob(&name("team/b"), &digest(1)).await.unwrap();
    assert_eq!(is_right(f, "team").await, 100);
}

pub(super) async fn a_namespace_has_no_more_repositories_than_it_may(f: &Fixture) {
    f.catalog.govern(NamespaceRules { limit_of: Arc::new(|_| None), max_repositories: 2 });
    for repo in ["team/a", "team", "team-b/c", "teams"] {
        pushed(f, sized(repo, 1, 10)).await.unwrap();
    }
    let refusal = Refusal::Repositories { namespace: namespace("team"), limit: 2 };
    assert_eq!(pushed(f, sized("team/b", 1, 10)).await.unwrap_err(), refusal);
    let put = f.catalog.put_manifest(&manifest("team/b", 1, &[]), NOW, LEASE).await.unwrap();
    assert_eq!(put, ManifestPut::Refused(refusal));
    pushed(f, sized("team/a", 2, 10)).await.unwrap();
    for n in [1, 2] {
        f.catalog.unlink_blob(&name("team/a"), &digest(n)).await.unwrap();
    }
    pushed(f, sized("team/b", 1, 10)).await.expect("one is empty now");
}

pub(super) async fn a_repository_knows_what_it_shares(f: &Fixture) {
    for (repo, n, size) in [("team/a", 1, 100), ("team/b", 1, 100), ("team/b", 2, 30), ("team", 3, 7)] {
        pushed(f, sized(repo, n, size)).await.unwrap();
    }
    let image = manifest("team/a", 9, &[]);
    let body = image.body.len() as u64;
    f.push(image).await;
    let usage = |repo: &str, bytes, unique| RepositoryUsage { repo: name(repo), bytes, unique };
    let all = f.catalog.repository_usage(&namespace("team"), None, 10).await.unwrap();
    assert_eq!(all, [usage("team", 7, 7), usage("team/a", 100 + body, body), usage("team/b", 130, 30)]);
    let page = f.catalog.repository_usage(&namespace("team"), Some("team"), 1).await.unwrap();
    assert_eq!(page, all[1..2]);
}

pub(super) async fn namespaces_come_in_byte_order_page_by_page(f: &Fixture) {
    for repo in ["b/x", "a-b/x", "a/x"] {
        pushed(f, sized(repo, 1, 10)).await.unwrap();
    }
    f.catalog.fold().await.unwrap();
    pushed(f, sized("d/x", 1, 10)).await.unwrap();
    f.catalog.set_quota(&namespace("c"), SetQuota::Bytes(5), NOW).await.unwrap();
    let page = async |after, limit| {
        let page = f.catalog.namespaces(after, limit).await.unwrap();
        page.into_iter().map(|one| (one.namespace.to_string(), one.bytes)).collect::<Vec<_>>()
    };
    let all = [("a", 10), ("a-b", 10), ("b", 10), ("c", 0), ("d", 10)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(page(None, 10).await, all);
    assert_eq!(page(Some("a-b"), 2).await, all[2..4]);
}

pub(super) async fn r33_sessions_of_one_user_are_counted_up_to_a_bound(f: &Fixture) {
    for principal in ["user:ada", "user:ada", "user:ada", "user:bob", ""] {
        let session = UploadRow { principal: principal.to_owned(), ..new_session("a") };
        f.catalog.create_upload(&session).await.unwrap();
    }
    let count = async |who, most| f.catalog.count_uploads_of(who, most).await.unwrap();
    assert_eq!(count("user:ada", 10).await, 3);
    assert_eq!(count("user:ada", 2).await, 2);
    assert_eq!((count("user:bob", 10).await, count("user:eve", 10).await), (1, 0));
}

pub(super) async fn manifests_and_tags_are_counted_up_to_a_bound(f: &Fixture) {
    f.push(manifest("a", 1, &["one", "two"])).await;
    f.push(manifest("a", 2, &["three"])).await;
    f.push(manifest("b", 2, &["three"])).await;
    let a = name("a");
    assert_eq!(f.catalog.count_manifests(&a, 10).await.unwrap(), 2);
    assert_eq!(f.catalog.count_tags(&a, 10).await.unwrap(), 3);
    assert_eq!(f.catalog.count_tags(&a, 2).await.unwrap(), 2);
    assert_eq!(f.catalog.count_manifests(&name("c"), 10).await.unwrap(), 0);
}
