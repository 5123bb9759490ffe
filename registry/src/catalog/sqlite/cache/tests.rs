use super::*;
use crate::catalog::suite::{digest, name, tag};

fn row(n: u64, bytes: usize) -> ManifestRow {
    ManifestRow { digest: digest(n), media_type: "x".into(), body: vec![0; bytes].into(), subject: None }
}

fn by_tag(text: &str) -> ManifestReference {
    ManifestReference::Tag(tag(text))
}

fn ticket(cache: &Cache, repo: &RepoName, reference: &ManifestReference) -> Ticket {
    match cache.look(repo, reference) {
        Looked::Ask(ticket) => ticket,
        Looked::Here(row) => panic!("{row:?}"),
    }
}

fn cached() -> (Arc<Cache>, RepoName) {
    (Arc::new(Cache::new(1 << 20)), name("a"))
}

#[test]
fn what_was_added_is_found_by_tag_and_digest_in_its_repository_only() {
    let (cache, a) = cached();
    let latest = by_tag("latest");
    cache.add(&ticket(&cache, &a, &latest), &a, &latest, &row(1, 10));
    for reference in [latest, ManifestReference::Digest(digest(1))] {
        assert!(matches!(cache.look(&a, &reference), Looked::Here(found) if *found == row(1, 10)));
        assert!(matches!(cache.look(&name("b"), &reference), Looked::Ask(_)));
    }
}

#[test]
fn a_reader_that_asked_before_a_write_ended_adds_nothing() {
    let (cache, a) = cached();
    let latest = by_tag("latest");
    let before = ticket(&cache, &a, &latest);
    let writing = cache.writing(&a, Some(&digest(2)), &[tag("latest")]);
    let within = ticket(&cache, &a, &latest);
    cache.add(&before, &a, &latest, &row(1, 10));
    cache.add(&within, &a, &latest, &row(1, 10));
    ticket(&cache, &a, &latest);
    drop(writing);
    cache.add(&before, &a, &latest, &row(1, 10));
    cache.add(&within, &a, &latest, &row(1, 10));
    let after = ticket(&cache, &a, &latest);
    cache.add(&after, &a, &latest, &row(2, 10));
    assert!(matches!(cache.look(&a, &latest), Looked::Here(found) if found.digest == digest(2)));
}

#[test]
fn a_write_takes_out_what_it_changes_when_it_begins() {
    let (cache, a) = cached();
    for (n, text) in [(1, "x"), (1, "y"), (2, "z")] {
        cache.add(&ticket(&cache, &a, &by_tag(text)), &a, &by_tag(text), &row(n, 10));
    }
    let writing = cache.writing(&a, Some(&digest(1)), &[]);
    ticket(&cache, &a, &by_tag("x"));
    assert!(matches!(cache.look(&a, &by_tag("z")), Looked::Here(_)), "another manifest stays");
    writing.forget_tags(&[tag("x"), tag("y")]);
    drop(writing);
    // The manifest comes back; its old tags do not.
    let reference = ManifestReference::Digest(digest(1));
    cache.add(&ticket(&cache, &a, &reference), &a, &reference, &row(1, 10));
    ticket(&cache, &a, &by_tag("x"));
    ticket(&cache, &a, &by_tag("y"));
}

#[test]
fn memory_is_bounded_and_big_manifests_stay_out() {
    let (cache, a) = cached();
    for n in 0..1000 {
        let reference = ManifestReference::Digest(digest(n));
        cache.add(&ticket(&cache, &a, &reference), &a, &reference, &row(n, 10_000));
    }
    assert!(cache.entries.weight() <= 1 << 20);
    assert!(cache.entries.len() > 50);
    let big = ManifestReference::Digest(digest(5000));
    cache.add(&ticket(&cache, &a, &big), &a, &big, &row(5000, LARGEST_BODY + 1));
    ticket(&cache, &a, &big);
}
