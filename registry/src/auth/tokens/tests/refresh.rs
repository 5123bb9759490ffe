//! Refresh tokens.

use super::*;
use crate::{auth::FederatedLogin, catalog::RefreshKind};

fn user(name: &str) -> Subject {
    Subject::User(name.to_owned())
}

/// A client logs in and asks for one.
async fn offline(f: &Fixture, shown: Option<&str>) -> Option<String> {
    let who = Principal { subject: user("alice"), ..Principal::default() };
    let scopes = asked([]).unwrap();
    let grant = Grant { who, scopes: &scopes, offline: Some("docker"), shown };
    f.tokens.issue(grant).await.unwrap().refresh.map(|secret| secret.reveal().to_owned())
}

async fn personal(f: &Fixture, expires_at: Option<Timestamp>) -> (uuid::Uuid, String) {
    let new =
        NewRefresh { subject: user("alice"), kind: RefreshKind::Personal, name: "ci".to_owned(), expires_at };
    let (row, secret) = f.tokens.add_refresh(new).await.unwrap();
    (row.id, secret.reveal().to_owned())
}

#[tokio::test]
async fn a_client_that_logged_in_gets_along_with_its_refresh_token() {
    let f = Fixture::new().await;
    let secret = offline(&f, Some("password")).await.unwrap();
    assert_eq!(f.tokens.refreshed(&secret).await.unwrap().subject, user("alice"));
    assert_eq!(offline(&f, Some(&secret)).await.unwrap(), secret, "no second one is made of it");
    let rows = f.tokens.refresh_list(Some("user:alice"), None, 9).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].name, "docker");
    for wrong in ["", "brt_", &secret[..secret.len() - 1], &format!("brt_{}", "A".repeat(43))] {
        assert!(f.tokens.refreshed(wrong).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn the_secret_is_nowhere_in_the_catalog() {
    let f = Fixture::new().await;
    let secret = offline(&f, None).await.unwrap();
    f.catalog.close().await;
    let bare = secret.strip_prefix("brt_").unwrap().as_bytes().to_vec();
    let raw = URL_SAFE_NO_PAD.decode(&bare).unwrap();
    for entry in std::fs::read_dir(f.data.path()).unwrap() {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        for needle in [&bare, &raw] {
            assert!(!content.windows(needle.len()).any(|window| window == needle.as_slice()));
        }
    }
}

#[tokio::test]
async fn r26_whoever_is_shut_out_gets_no_further_token() {
    let f = Fixture::new().await;
    let secret = offline(&f, None).await.unwrap();
    let (_, own) = personal(&f, None).await;
    assert!(f.tokens.refreshed(&secret).await.is_ok());
    f.doors.shut(user("alice"));
    assert!(f.tokens.refreshed(&secret).await.is_err());
    assert!(f.tokens.login("alice", &own).await.is_err());
}

#[tokio::test]
async fn a_refresh_token_that_is_used_goes_on_and_one_that_is_not_ends() {
    let f = Fixture::new().await;
    let secret = offline(&f, None).await.unwrap();
    for hours in [20_u64, 40, 60] {
        f.clock.set(NOW + Duration::from_hours(hours));
        assert!(f.tokens.refreshed(&secret).await.is_ok(), "after {hours} hours");
    }
    f.clock.set(NOW + Duration::from_hours(60 + 24));
    assert!(f.tokens.refreshed(&secret).await.is_err());
    f.tokens.tend().await.unwrap();
    assert_eq!(f.tokens.refresh_list(None, None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn one_made_by_hand_is_a_password_too_until_its_end_or_its_revocation() {
    let f = Fixture::new().await;
    let (id, secret) = personal(&f, Some(NOW + Duration::from_hours(10))).await;
    assert_eq!(f.tokens.login("alice", &secret).await.unwrap().unwrap().subject, user("alice"));
    assert_eq!(f.tokens.login("bob", &secret).await.unwrap(), None, "it is hers");
    f.clock.set(NOW + Duration::from_hours(9));
    assert!(f.tokens.login("alice", &secret).await.unwrap().is_some());
    f.clock.set(NOW + Duration::from_hours(10));
    assert_eq!(f.tokens.login("alice", &secret).await.unwrap(), None, "use does not prolong it");
    f.clock.set(NOW);
    assert!(!f.tokens.revoke(id, Some("user:bob")).await.unwrap());
    assert!(f.tokens.revoke(id, Some("user:alice")).await.unwrap());
    assert_eq!(f.tokens.login("alice", &secret).await.unwrap(), None);
    let given = offline(&f, None).await.unwrap();
    assert_eq!(f.tokens.login("alice", &given).await.unwrap(), None, "what clients got is no password");
}

#[tokio::test]
async fn a_refresh_token_of_another_service_is_worth_nothing() {
    let f = Fixture::new().await;
    let secret = offline(&f, None).await.unwrap();
    let other = f.replica(Settings { service: "other.example".to_owned(), ..settings() }).await;
    assert!(other.refreshed(&secret).await.is_err());
}
