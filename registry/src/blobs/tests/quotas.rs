//! Uploads into a namespace that has a limit, and by users who have a share.

use super::*;
use crate::catalog::{NamespaceRules, Refusal};

const MIB: usize = 1 << 20;

/// `a` may hold 3 MiB.
async fn limited() -> Fixture {
    let fixture = Fixture::on_disk().await;
    fixture
        .catalog
        .govern(NamespaceRules { limit_of: Arc::new(|_| Some(3 * MIB as u64)), max_repositories: 0 });
    fixture
}

fn content(size: usize, byte: u8) -> Vec<u8> {
    vec![byte; size]
}

fn length(bytes: &[u8]) -> Chunk {
    Chunk { range: None, length: Some(bytes.len() as u64) }
}

/// What comes although its body never ends.
async fn soon<T>(told: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("it waits for the rest of the body")
}

async fn used(fixture: &Fixture) -> u64 {
    fixture.catalog.namespace(&"a".parse().unwrap()).await.unwrap().bytes
}

/// Asserts that a push was refused, and that nothing of it is left.
async fn left_nothing<T: std::fmt::Debug>(fixture: &Fixture, told: Result<T, UploadError>, blobs: usize) {
    assert!(matches!(told, Err(UploadError::Refused(Refusal::Bytes { .. }))), "{told:?}");
    assert_eq!(fixture.staged(), 0);
    let listed: Vec<_> = fixture.store.list("blobs/").collect().await;
    assert_eq!(listed.len(), blobs);
}

#[tokio::test]
async fn a_body_that_cannot_fit_is_refused_before_a_byte_of_it_is_read() {
    let fixture = limited().await;
    let large = content(4 * MIB, 1);
    let (blobs, digest) = (&fixture.blobs, sha256(&large));
    let unread = || -> Body { stream::pending().boxed() };
    let told = blobs.monolithic(repo("a"), digest.clone(), Some(4 << 20), unread());
    left_nothing(&fixture, soon(told).await, 0).await;
    let session = fixture.start().await;
    let told = blobs.finish(session.clone(), length(&large), unread(), digest);
    left_nothing(&fixture, soon(told).await, 0).await;
    assert!(matches!(blobs.status(&session).await, Err(UploadError::Unknown)), "the session has ended");
    let session = fixture.start().await;
    let told = blobs.append(session.clone(), length(&large), unread());
    left_nothing(&fixture, soon(told).await, 0).await;
    assert!(matches!(blobs.status(&session).await, Err(UploadError::Unknown)));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_where_the_quota_ends() {
    let fixture = limited().await;
    let large = content(4 * MIB, 1);
    let session = fixture.start().await;
    let endless = body(&large).chain(stream::pending()).boxed();
    let told = fixture.blobs.append(session.clone(), Chunk::default(), endless);
    left_nothing(&fixture, soon(told).await, 0).await;
    assert!(matches!(fixture.blobs.status(&session).await, Err(UploadError::Unknown)));
    assert_eq!(used(&fixture).await, 0);
}

#[tokio::test]
async fn what_fitted_when_it_began_is_judged_again_when_it_ends() {
    let fixture = limited().await;
    let (first, second) = (content(2 * MIB, 1), content(2 * MIB, 2));
    let session = fixture.start().await;
    fixture.blobs.append(session.clone(), length(&first), body(&first)).await.unwrap();
    let meanwhile = fixture.blobs.monolithic(repo("a"), sha256(&second), None, body(&second)).await;
    meanwhile.unwrap();
    let told = fixture.blobs.finish(session.clone(), Chunk::default(), nothing(), sha256(&first)).await;
    left_nothing(&fixture, told, 1).await;
    assert!(matches!(fixture.blobs.status(&session).await, Err(UploadError::Unknown)));
    assert!(!fixture.holds(&sha256(&first)).await && fixture.holds(&sha256(&second)).await);
    assert_eq!(used(&fixture).await, 2 << 20);
}

#[tokio::test]
async fn content_that_the_namespace_has_is_taken_however_full_it_is() {
    let fixture = limited().await;
    let content = content(2 * MIB, 1);
    for repo_name in ["a", "a/b", "a/c"] {
        let told = fixture.blobs.monolithic(
            repo(repo_name),
            sha256(&content),
            Some(content.len() as u64),
            body(&content),
        );
        told.await.unwrap();
    }
    let session = fixture.blobs.start(&repo("a/d"), "", Algorithm::Sha256).await.unwrap();
    fixture.blobs.finish(session, length(&content), body(&content), sha256(&content)).await.unwrap();
    assert_eq!(used(&fixture).await, 2 << 20);
}

#[tokio::test]
async fn r33_one_user_has_so_many_uploads_open_and_keeps_nobody_else_out() {
    let settings = Settings { max_uploads_per_user: 3, ..Settings::default() };
    let fixture = Fixture::with(settings, true).await;
    let restarted = fixture.restarted();
    let start = async |blobs: &Blobs, who: &str| blobs.start(&repo("a"), who, Algorithm::Sha256).await;
    let mut sessions = Vec::new();
    for blobs in [&fixture.blobs, &restarted, &fixture.blobs] {
        sessions.push(start(blobs, "user:ada").await.unwrap());
    }
    for blobs in [&fixture.blobs, &restarted] {
        let told = start(blobs, "user:ada").await;
        assert!(matches!(told, Err(UploadError::TooMany { limit: 3, own: true })), "{told:?}");
        start(blobs, "user:bob").await.unwrap();
        start(blobs, "").await.unwrap();
    }
    fixture.blobs.cancel(&sessions[0]).await.unwrap();
    start(&restarted, "user:ada").await.unwrap();
    fixture.clock.pass(fixture.blobs.settings().upload_expiry + Duration::from_secs(1));
    fixture.blobs.purge_expired(100).await.unwrap();
    start(&fixture.blobs, "user:ada").await.unwrap();
}
