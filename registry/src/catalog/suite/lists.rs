use super::*;

pub(super) async fn repositories_come_in_byte_order_with_something_in_them(f: &Fixture) {
    for repo in ["b", "a/b", "a-b", "a.b", "a", "a0", "aa"] {
        f.blob(repo, 1).await;
    }
    f.push(manifest("manifests/only", 1, &[])).await;
    f.catalog.create_upload(&new_session("session/only")).await.unwrap();
    f.blob("emptied", 1).await;
    f.catalog.unlink_blob(&name("emptied"), &digest(1)).await.unwrap();
    let all = f.catalog.repositories(None, 100).await.unwrap();
    let expected = ["a", "a-b", "a.b", "a/b", "a0", "aa", "b", "manifests/only"];
    assert_eq!(all, expected.map(name));
    assert_eq!(f.catalog.repositories(Some("a-b"), 2).await.unwrap(), ["a.b", "a/b"].map(name));
    assert_eq!(f.catalog.repositories(Some("a-b\0x"), 2).await.unwrap(), ["a.b", "a/b"].map(name));
    assert_eq!(f.catalog.repositories(Some("zz"), 2).await.unwrap(), []);
    assert_eq!(f.catalog.repositories(None, 0).await.unwrap(), []);
}

fn referrer(n: u64, subject: u64, artifact_type: &str) -> NewManifest {
    NewManifest {
        subject: Some(digest(subject)),
        artifact_type: (!artifact_type.is_empty()).then(|| artifact_type.into()),
        annotations: [("n".to_owned(), n.to_string())].into(),
        ..manifest("a", n, &[])
    }
}

async fn referrers(f: &Fixture, of_type: Option<&str>, after: Option<u64>, limit: u32) -> Vec<ReferrerRow> {
    page(f, of_type, after, limit, u64::MAX).await.rows
}

async fn page(f: &Fixture, of_type: Option<&str>, after: Option<u64>, entries: u32, bytes: u64) -> Referrers {
    let (after, limit) = (after.map(digest), ReferrersLimit { entries, bytes });
    f.catalog.referrers(&name("a"), &digest(1), of_type, after.as_ref(), limit).await.unwrap()
}

fn numbers(rows: &[ReferrerRow]) -> Vec<&str> {
    rows.iter().map(|row| row.annotations["n"].as_str()).collect()
}

pub(super) async fn referrers_come_by_digest_and_type(f: &Fixture) {
    for (n, artifact_type) in [(14, "sig"), (12, "sbom"), (11, "sig"), (13, ""), (15, "sbom")] {
        f.push(referrer(n, 1, artifact_type)).await;
    }
    f.push(referrer(20, 2, "sig")).await;
    f.push(NewManifest { repo: name("b"), ..referrer(21, 1, "sig") }).await;
    let all = referrers(f, None, None, 100).await;
    assert_eq!(numbers(&all), ["11", "12", "13", "14", "15"]);
    assert_eq!(
        all[1],
        ReferrerRow {
            digest: digest(12),
            media_type: MediaType::new(MediaType::OCI_INDEX),
            size: manifest("a", 12, &[]).body.len() as u64,
            artifact_type: Some("sbom".into()),
            annotations: [("n".to_owned(), "12".to_owned())].into(),
        }
    );
    assert_eq!(all[2].artifact_type, None);
    assert_eq!(numbers(&referrers(f, None, Some(12), 2).await), ["13", "14"]);
    assert_eq!(numbers(&referrers(f, Some("sig"), None, 100).await), ["11", "14"]);
    assert_eq!(numbers(&referrers(f, Some("sig"), Some(11), 100).await), ["14"]);
    assert_eq!(numbers(&referrers(f, Some("sbom"), None, 1).await), ["12"]);
    assert!(referrers(f, Some("none"), None, 100).await.is_empty());
    assert!(referrers(f, Some("si\0g"), None, 100).await.is_empty());
}

pub(super) async fn referrers_need_no_subject_and_go_when_deleted(f: &Fixture) {
    assert!(referrers(f, None, None, 10).await.is_empty());
    f.push(referrer(11, 1, "sig")).await;
    assert_eq!(numbers(&referrers(f, None, None, 10).await), ["11"]);
    f.push(manifest("a", 1, &["x"])).await;
    f.delete(&name("a"), &digest(1)).await;
    assert_eq!(numbers(&referrers(f, None, None, 10).await), ["11"], "it outlives its subject");
    f.delete(&name("a"), &digest(11)).await;
    assert!(referrers(f, None, None, 10).await.is_empty());
}

pub(super) async fn a_type_of_any_length_is_found_by_all_of_it(f: &Fixture) {
    let (one, other) = (format!("{}1", "ä".repeat(5000)), format!("{}2", "ä".repeat(5000)));
    f.push(referrer(11, 1, &one)).await;
    f.push(referrer(12, 1, &other)).await;
    assert_eq!(numbers(&referrers(f, Some(&one), None, 10).await), ["11"]);
    assert_eq!(numbers(&referrers(f, Some(&other), None, 10).await), ["12"]);
}

pub(super) async fn annotations_come_back_whatever_they_say(f: &Fixture) {
    let annotations: BTreeMap<_, _> =
        [("nul", "a\0b"), ("quote", "\"\\\u{7f}\u{2028}"), ("", ""), ("ключ", "値")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
    f.push(NewManifest { annotations: annotations.clone(), ..referrer(11, 1, "sig") }).await;
    assert_eq!(referrers(f, None, None, 10).await[0].annotations, annotations);
}

pub(super) async fn r19_a_page_of_referrers_ends_before_its_annotations_are_too_many_bytes(f: &Fixture) {
    for n in 11..16 {
        let mut heavy = referrer(n, 1, "sig");
        heavy.annotations.insert("long".to_owned(), "\0ä".repeat(1000));
        f.push(heavy).await;
    }
    for of_type in [None, Some("sig")] {
        for (bytes, entries) in [(0, 1), (8_000, 1), (18_000, 2), (1_000_000, 5)] {
            let (mut after, mut seen) = (None, Vec::new());
            loop {
                let page = page(f, of_type, after, 100, bytes).await;
                let last = page.rows.last().expect("a page has an entry").annotations["n"].parse().unwrap();
                assert!(page.rows.len() == entries || !page.more, "{bytes}: {}", page.rows.len());
                seen.extend(page.rows.iter().map(|row| row.digest.clone()));
                after = Some(last);
                if !page.more {
                    break;
                }
            }
            assert_eq!(seen, [11, 12, 13, 14, 15].map(digest), "{bytes}");
        }
        assert!(page(f, of_type, None, 2, u64::MAX).await.more);
        assert!(!page(f, of_type, None, 5, u64::MAX).await.more);
        assert_eq!(page(f, of_type, None, 0, u64::MAX).await.rows, []);
    }
}
