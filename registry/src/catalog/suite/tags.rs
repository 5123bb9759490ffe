use super::*;

pub(super) async fn tags_come_in_byte_order_page_by_page(f: &Fixture) {
    let mut all = vec!["a", "A", "b", "B", "_", "_a", "0", "10", "9", "a-b", "a.b", "a_b", "aB", "ab"];
    f.push(manifest("r", 1, &all)).await;
    f.push(manifest("s", 1, &["other"])).await;
    all.sort_unstable();
    let all: Vec<_> = all.into_iter().map(tag).collect();
    let page = async |after: Option<&str>, limit| f.catalog.tags(&name("r"), after, limit).await.unwrap();
    assert_eq!(page(None, 1000).await.unwrap(), all);
    let mut gathered: Vec<Tag> = Vec::new();
    loop {
        let next = page(gathered.last().map(Tag::as_str), 3).await.unwrap();
        if next.is_empty() {
            break;
        }
        gathered.extend(next);
    }
    assert_eq!(gathered, all);
    assert_eq!(page(None, 0).await, Some(vec![]));
}

pub(super) async fn a_repository_without_tags_is_not_an_unknown_one(f: &Fixture) {
    let tags = async |repo: &str| f.catalog.tags(&name(repo), None, 10).await.unwrap();
    assert_eq!(tags("a").await, None);
    f.catalog.create_upload(&new_session("a")).await.unwrap();
    assert_eq!(tags("a").await, None, "a session alone makes no repository");
    f.blob("a", 1).await;
    assert_eq!(tags("a").await, Some(vec![]));
    f.push(manifest("a", 1, &["x"])).await;
    f.catalog.delete_tag(&name("a"), &tag("x"), GONE).await.unwrap();
    assert_eq!(tags("a").await, Some(vec![]));
}

pub(super) async fn a_last_that_is_no_tag_still_has_its_place(f: &Fixture) {
    f.push(manifest("r", 1, &["a", "b", "c"])).await;
    for (last, first) in [("", "a"), ("-", "a"), ("aä", "b"), ("b\0", "c"), ("b\0\0x", "c"), ("B", "a")] {
        let page = f.catalog.tags(&name("r"), Some(last), 1).await.unwrap().unwrap();
        assert_eq!(page, [tag(first)], "after {last:?}");
    }
}

pub(super) async fn r22_a_fixed_tag_is_set_once_and_again_only_to_what_it_has(f: &Fixture) {
    let fixed = |n| NewManifest { fixed: vec![tag("v1")], ..manifest("a", n, &["v1", "latest"]) };
    f.push(fixed(1)).await;
    f.push(fixed(1)).await;
    let put = f.catalog.put_manifest(&fixed(2), NOW, LEASE).await.unwrap();
    assert_eq!(put, ManifestPut::TagFixed(tag("v1")));
    assert_eq!(f.resolve("a", "latest").await, Some(digest(1)), "no tag of a refused push moves");
    assert_eq!(f.resolve("a", digest(2).as_str()).await, None);
}

pub(super) async fn r22_of_ten_first_pushes_of_a_fixed_tag_one_is_stored(f: &Fixture) {
    let put = |n: u64| async move {
        let fixed = NewManifest { fixed: vec![tag("v1")], ..manifest("a", n, &["v1"]) };
        f.catalog.put_manifest(&fixed, NOW, LEASE).await.unwrap()
    };
    let answers = futures_util::future::join_all((1..=10).map(put)).await;
    let stored = answers.iter().filter(|put| matches!(put, ManifestPut::Stored { .. })).count();
    assert_eq!(stored, 1, "{answers:?}");
}

pub(super) async fn r22_a_fixed_tag_that_was_set_in_between_keeps_its_manifest(f: &Fixture) {
    for n in 0..100 {
        let fixed = format!("v{n}");
        let push = NewManifest { fixed: vec![tag(&fixed)], ..manifest("a", n, &[&fixed]) };
        f.push(manifest("a", n, &["x"])).await;
        let (repo, is_fixed) = (name("a"), Arc::new(|tag: &Tag| tag.as_str().starts_with('v')));
        let (deleted, put) = tokio::join!(
            f.catalog.delete_manifest(&repo, &push.digest, is_fixed.clone(), GONE),
            f.catalog.put_manifest(&push, NOW, LEASE),
        );
        assert!(matches!(put.unwrap(), ManifestPut::Stored { .. }));
        // Whichever came first: once it is set, it stays.
        assert_eq!(f.resolve("a", &fixed).await, Some(push.digest.clone()), "{deleted:?}");
        let kept = f.catalog.delete_manifest(&repo, &push.digest, is_fixed, GONE).await.unwrap();
        assert_eq!(kept, ManifestDelete::TagFixed(tag(&fixed)));
    }
}
