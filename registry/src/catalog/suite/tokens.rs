//! Keys and refresh tokens.

use futures_util::future::join_all;

use super::*;

fn key(kid: &str, signs_from: Timestamp) -> SigningKeyRow {
    SigningKeyRow {
        kid: kid.to_owned(),
        algorithm: "ES256".to_owned(),
        private: vec![1, 2, 3],
        created_at: NOW,
        signs_from,
        retires_at: None,
    }
}

fn token(subject: &str, kind: RefreshKind) -> RefreshRow {
    RefreshRow {
        id: Uuid::now_v7(),
        kind,
        subject: subject.to_owned(),
        service: "registry.example".to_owned(),
        name: "laptop".to_owned(),
        created_at: NOW,
        expires_at: NOW + HOUR,
        used_at: NOW,
    }
}

fn secret(n: u8) -> SecretHash {
    [n; 32]
}

async fn kids(f: &Fixture) -> Vec<String> {
    f.catalog.signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect()
}

pub(super) async fn a_key_takes_over_from_the_youngest_and_retires_the_others(f: &Fixture) {
    assert!(f.catalog.signing_keys().await.unwrap().is_empty());
    assert!(f.catalog.add_signing_key(&key("a", NOW), None, NOW).await.unwrap());
    assert_eq!(f.catalog.signing_keys().await.unwrap(), [key("a", NOW)]);
    let later = NOW + HOUR;
    assert!(f.catalog.add_signing_key(&key("b", later), Some("a"), later + HOUR).await.unwrap());
    let rows = f.catalog.signing_keys().await.unwrap();
    assert_eq!(rows[0], key("b", later));
    assert_eq!(rows[1], SigningKeyRow { retires_at: Some(later + HOUR), ..key("a", NOW) });
    // An end that was promised stays.
    assert!(f.catalog.add_signing_key(&key("c", later + HOUR), Some("b"), later + HOUR * 9).await.unwrap());
    assert_eq!(f.catalog.signing_keys().await.unwrap()[2].retires_at, Some(later + HOUR));
}

pub(super) async fn a_key_is_not_added_when_another_was_added_since(f: &Fixture) {
    assert!(f.catalog.add_signing_key(&key("a", NOW), None, NOW).await.unwrap());
    assert!(!f.catalog.add_signing_key(&key("b", NOW), None, NOW).await.unwrap());
    assert!(f.catalog.add_signing_key(&key("c", NOW + HOUR), Some("a"), NOW).await.unwrap());
    assert!(!f.catalog.add_signing_key(&key("d", NOW + HOUR), Some("a"), NOW).await.unwrap());
    assert_eq!(kids(f).await, ["c", "a"]);
}

pub(super) async fn of_first_keys_added_at_once_all_that_stay_verify_and_one_is_first(f: &Fixture) {
    let keys: Vec<_> = (0..8).map(|n| key(&format!("key{n}"), NOW)).collect();
    let added = join_all(keys.iter().map(|key| f.catalog.add_signing_key(key, None, NOW + HOUR))).await;
    let stayed = added.into_iter().filter(|added| *added.as_ref().unwrap()).count();
    let rows = f.catalog.signing_keys().await.unwrap();
    assert!(stayed >= 1 && rows.len() == stayed, "{stayed} of {rows:?}");
    assert!(rows.iter().all(|row| row.retires_at.is_none_or(|end| end == NOW + HOUR)));
    assert!(rows.is_sorted_by(|a, b| a.kid > b.kid), "everybody sees one order");
}

pub(super) async fn keys_are_forgotten_when_they_have_retired(f: &Fixture) {
    f.catalog.add_signing_key(&key("a", NOW), None, NOW).await.unwrap();
    f.catalog.add_signing_key(&key("b", NOW + HOUR), Some("a"), NOW + HOUR * 2).await.unwrap();
    assert_eq!(f.catalog.forget_retired_keys(NOW + HOUR).await.unwrap(), 0);
    assert_eq!(f.catalog.forget_retired_keys(NOW + HOUR * 2).await.unwrap(), 1);
    assert_eq!(kids(f).await, ["b"]);
}

pub(super) async fn a_refresh_token_comes_back_by_its_secret_alone(f: &Fixture) {
    let row = token("user:alice", RefreshKind::Personal);
    f.catalog.add_refresh_token(&row, &secret(1), 10).await.unwrap();
    assert_eq!(f.catalog.refresh_token(&secret(1)).await.unwrap(), Some(row.clone()));
    assert_eq!(f.catalog.refresh_token(&secret(2)).await.unwrap(), None);
    f.catalog.refresh_token_used(row.id, NOW + HOUR, NOW + HOUR * 5).await.unwrap();
    let used = RefreshRow { used_at: NOW + HOUR, expires_at: NOW + HOUR * 5, ..row };
    assert_eq!(f.catalog.refresh_token(&secret(1)).await.unwrap(), Some(used));
}

pub(super) async fn refresh_tokens_are_listed_by_subject_page_by_page(f: &Fixture) {
    let mut rows = Vec::new();
    for n in 0..4 {
        let row = token(if n % 2 == 0 { "user:a" } else { "user:b" }, RefreshKind::Personal);
        f.catalog.add_refresh_token(&row, &secret(n), 10).await.unwrap();
        rows.push(row);
    }
    let list = async |subject, after, limit| f.catalog.refresh_tokens(subject, after, limit).await.unwrap();
    assert_eq!(list(None, None, 9).await, rows);
    assert_eq!(list(None, Some(rows[0].id), 2).await, rows[1..3]);
    assert_eq!(list(Some("user:b"), None, 9).await, [rows[1].clone(), rows[3].clone()]);
}

pub(super) async fn a_revoked_refresh_token_is_gone(f: &Fixture) {
    let row = token("user:alice", RefreshKind::Personal);
    f.catalog.add_refresh_token(&row, &secret(1), 10).await.unwrap();
    assert!(!f.catalog.revoke_refresh_token(row.id, Some("user:mallory")).await.unwrap());
    assert!(f.catalog.refresh_token(&secret(1)).await.unwrap().is_some());
    assert!(f.catalog.revoke_refresh_token(row.id, Some("user:alice")).await.unwrap());
    assert!(!f.catalog.revoke_refresh_token(row.id, None).await.unwrap());
    assert_eq!(f.catalog.refresh_token(&secret(1)).await.unwrap(), None);
}

pub(super) async fn clients_keep_only_the_refresh_tokens_that_were_used_last(f: &Fixture) {
    let personal = token("user:a", RefreshKind::Personal);
    f.catalog.add_refresh_token(&personal, &secret(9), 2).await.unwrap();
    for n in 0..4_u8 {
        let row = RefreshRow { used_at: NOW + HOUR * u32::from(n), ..token("user:a", RefreshKind::Offline) };
        f.catalog.add_refresh_token(&row, &secret(n), 2).await.unwrap();
    }
    let there = async |n| f.catalog.refresh_token(&secret(n)).await.unwrap().is_some();
    assert_eq!([there(0).await, there(1).await, there(2).await, there(3).await], [false, false, true, true]);
    assert!(there(9).await, "what was made by hand stays");
}

pub(super) async fn refresh_tokens_are_forgotten_when_they_have_expired(f: &Fixture) {
    f.catalog.add_refresh_token(&token("user:a", RefreshKind::Offline), &secret(1), 9).await.unwrap();
    assert_eq!(f.catalog.forget_expired_tokens(NOW).await.unwrap(), 0);
    assert_eq!(f.catalog.forget_expired_tokens(NOW + HOUR).await.unwrap(), 1);
    assert_eq!(f.catalog.refresh_token(&secret(1)).await.unwrap(), None);
}
