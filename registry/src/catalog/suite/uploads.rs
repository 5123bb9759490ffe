use futures_util::future::join_all;

use super::*;

pub(crate) fn new_session(repo: &str) -> UploadRow {
    UploadRow {
        id: UploadId(Uuid::new_v4()),
        repo: name(repo),
        principal: "ada".to_owned(),
        created_at: NOW,
        progress: UploadProgress { offset: 0, hash: Vec::new(), staging: Vec::new(), expires_at: NOW + HOUR },
    }
}

fn writer() -> WriterId {
    WriterId(Uuid::new_v4())
}

async fn created(f: &Fixture, repo: &str) -> UploadRow {
    let session = new_session(repo);
    f.catalog.create_upload(&session).await.unwrap();
    session
}

/// Claims at a moment for an hour.
async fn claim(f: &Fixture, session: &UploadRow, writer: WriterId, now: Timestamp) -> Claim {
    f.catalog.claim_upload(&session.repo, session.id, writer, now, now + HOUR).await.unwrap()
}

pub(super) async fn a_session_comes_back_as_it_was_saved(f: &Fixture) {
    let mut session = created(f, "a").await;
    assert_eq!(f.catalog.upload(&session.repo, session.id).await.unwrap(), Some(session.clone()));
    f.catalog.create_upload(&session).await.unwrap();
    let (first, second) = (writer(), writer());
    assert_eq!(claim(f, &session, first, NOW).await, Claim::Held(session.clone()));
    assert_eq!(claim(f, &session, first, NOW).await, Claim::Held(session.clone()), "asked again");
    let progress = UploadProgress {
        offset: 1 << 40,
        hash: vec![0, 255, 7],
        staging: vec![0; 100_000],
        expires_at: NOW + HOUR * 3,
    };
    assert!(!f.catalog.save_upload(session.id, second, &progress).await.unwrap());
    assert!(f.catalog.save_upload(session.id, first, &progress).await.unwrap());
    session.progress = progress.clone();
    assert_eq!(claim(f, &session, second, NOW).await, Claim::Held(session.clone()), "given back");
    assert!(!f.catalog.save_upload(session.id, first, &progress).await.unwrap());
}

pub(super) async fn r9_a_session_is_unknown_in_another_repository(f: &Fixture) {
    let session = created(f, "a").await;
    let elsewhere = UploadRow { repo: name("b"), ..session.clone() };
    assert_eq!(f.catalog.upload(&elsewhere.repo, session.id).await.unwrap(), None);
    assert_eq!(claim(f, &elsewhere, writer(), NOW).await, Claim::Unknown);
    assert_eq!(f.catalog.delete_upload(&elsewhere.repo, session.id).await.unwrap(), None);
    assert!(matches!(claim(f, &session, writer(), NOW).await, Claim::Held(_)), "untouched");
    assert_eq!(claim(f, &elsewhere, writer(), NOW).await, Claim::Unknown, "not even that it is busy");
}

pub(super) async fn r8_of_many_claims_at_once_one_is_held(f: &Fixture) {
    for _ in 0..20 {
        let session = created(f, "a").await;
        let claims = join_all((0..8).map(|_| claim(f, &session, writer(), NOW))).await;
        let held = claims.iter().filter(|claim| matches!(claim, Claim::Held(_))).count();
        let busy = claims.iter().filter(|claim| matches!(claim, Claim::Busy(_))).count();
        assert_eq!((held, busy), (1, 7));
    }
}

pub(super) async fn a_claim_that_ran_out_is_taken_over(f: &Fixture) {
    let session = created(f, "a").await;
    let (dead, heir) = (writer(), writer());
    assert_eq!(claim(f, &session, dead, NOW).await, Claim::Held(session.clone()));
    assert_eq!(claim(f, &session, heir, NOW + HOUR / 2).await, Claim::Busy(session.clone()));
    assert_eq!(claim(f, &session, heir, NOW + HOUR).await, Claim::Held(session.clone()));
    assert!(!f.catalog.renew_claim(session.id, dead, NOW + HOUR * 9).await.unwrap());
    assert!(!f.catalog.save_upload(session.id, dead, &session.progress).await.unwrap());
    assert_eq!(claim(f, &session, dead, NOW + HOUR).await, Claim::Busy(session.clone()));
    assert!(f.catalog.save_upload(session.id, heir, &session.progress).await.unwrap());
}

pub(super) async fn a_renewed_claim_is_not_taken_over(f: &Fixture) {
    let session = created(f, "a").await;
    let holder = writer();
    assert!(!f.catalog.renew_claim(session.id, holder, NOW + HOUR).await.unwrap());
    claim(f, &session, holder, NOW).await;
    assert!(f.catalog.renew_claim(session.id, holder, NOW + HOUR * 3).await.unwrap());
    assert!(matches!(claim(f, &session, writer(), NOW + HOUR * 2).await, Claim::Busy(_)));
}

pub(super) async fn a_deleted_session_cannot_be_saved(f: &Fixture) {
    let session = created(f, "a").await;
    let holder = writer();
    claim(f, &session, holder, NOW).await;
    let deleted = f.catalog.delete_upload(&session.repo, session.id).await.unwrap();
    assert_eq!(deleted, Some(session.clone()));
    assert!(!f.catalog.save_upload(session.id, holder, &session.progress).await.unwrap());
    assert!(!f.catalog.renew_claim(session.id, holder, NOW + HOUR).await.unwrap());
    assert_eq!(claim(f, &session, writer(), NOW).await, Claim::Unknown);
    assert_eq!(f.catalog.delete_upload(&session.repo, session.id).await.unwrap(), None);
}

pub(super) async fn expired_sessions_are_listed_unless_somebody_writes(f: &Fixture) {
    let mut sessions = Vec::new();
    for hours in 1..=4 {
        let mut session = new_session("a");
        session.progress.expires_at = NOW + HOUR * hours;
        f.catalog.create_upload(&session).await.unwrap();
        sessions.push(session);
    }
    let expired = async |after: Duration, limit| f.catalog.expired_uploads(NOW + after, limit).await.unwrap();
    assert_eq!(expired(HOUR, 10).await, []);
    assert_eq!(expired(HOUR * 5, 10).await, sessions);
    assert_eq!(expired(HOUR * 5, 2).await, sessions[..2]);
    f.catalog.claim_upload(&name("a"), sessions[0].id, writer(), NOW, NOW + HOUR * 6).await.unwrap();
    assert_eq!(expired(HOUR * 5, 2).await, sessions[1..3], "one is being written to");
    assert_eq!(expired(HOUR * 7, 1).await, sessions[..1], "its writer died");
}

pub(super) async fn r33_sessions_are_counted_up_to_a_bound_whoever_writes(f: &Fixture) {
    assert_eq!(f.catalog.count_uploads(10).await.unwrap(), 0);
    for _ in 0..4 {
        let session = created(f, "a").await;
        claim(f, &session, writer(), NOW).await;
    }
    assert_eq!(f.catalog.count_uploads(10).await.unwrap(), 4);
    assert_eq!(f.catalog.count_uploads(3).await.unwrap(), 3);
}
