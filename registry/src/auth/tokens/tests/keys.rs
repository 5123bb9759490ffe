//! Keys: made once, shared, followed by others.

use super::{
    keyring::{Keyring, Rules, SPREAD},
    *,
};

const DAY: Duration = Duration::from_hours(24);

fn kid(token: &str) -> String {
    parts(token)[0]["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_first_start_makes_a_key_and_the_next_finds_it() {
    let f = Fixture::new().await;
    let token = f.token("alice", "").await;
    let again = f.replica(settings()).await;
    assert!(again.check(&token).await.is_ok());
    assert_eq!(f.tokens.published(), again.published());
    assert_eq!(again.published().keys.len(), 1);
}

#[tokio::test]
async fn of_two_first_starts_at_once_both_keys_verify_and_one_signs() {
    let f = Fixture::with(|_| Settings { enabled: false, ..settings() }).await;
    // As if each had looked before the other wrote: the catalog of several replicas lets both in.
    for n in 0..2_u8 {
        let row = key::generate(SigningAlgorithm::Es256, NOW, NOW).unwrap();
        let before = f.catalog.signing_keys().await.unwrap().first().map(|key| key.kid.clone());
        let never = NOW + DAY * 999;
        assert!(f.catalog.add_signing_key(&row, before.as_deref(), never).await.unwrap(), "{n}");
    }
    let (one, two) = (f.replica(settings()).await, f.replica(settings()).await);
    let tokens = [&one, &two].map(|tokens| issue(tokens, Subject::User("a".into()), ""));
    let [first, second] = futures_util::future::join_all(tokens).await.try_into().unwrap();
    assert_eq!(kid(&first), kid(&second), "one key in use");
    assert_eq!(one.published().keys.len(), 2, "both valid");
    assert!(one.check(&second).await.is_ok() && two.check(&first).await.is_ok());
}

#[tokio::test]
async fn a_new_key_is_published_first_and_signs_later_and_the_old_one_verifies_to_its_last_tokens_end() {
    let f = Fixture::new().await;
    let old = kid(&f.token("alice", "").await);
    f.clock.set(NOW + DAY);
    f.tokens.tend().await.unwrap();
    assert_eq!(f.tokens.published().keys.len(), 2, "made when the old one was old enough");
    let still = f.token("alice", "").await;
    assert_eq!(kid(&still), old, "others may not know the new one yet");
    let begins = NOW + DAY + SPREAD;
    f.clock.set(begins - Duration::from_secs(1));
    let last = f.token("alice", "").await;
    assert_eq!(kid(&last), old);
    f.clock.set(begins);
    let new = f.token("alice", "").await;
    assert_ne!(kid(&new), old);
    let end = begins + Duration::from_mins(6);
    f.clock.set(end - Duration::from_secs(2));
    f.tokens.tend().await.unwrap();
    assert!(f.tokens.check(&last).await.is_ok(), "to the end of its life and leeway");
    f.clock.set(end);
    f.tokens.tend().await.unwrap();
    assert_eq!(f.tokens.published().keys.len(), 1, "then it is forgotten");
    assert_eq!(f.catalog.signing_keys().await.unwrap().len(), 1);
    f.clock.set(begins);
    assert_eq!(f.refused(&still).await, "the token's key is not known, or has retired");
}

#[tokio::test]
async fn a_key_that_another_replica_made_is_found_by_name_but_not_at_every_price() {
    let f = Fixture::new().await;
    let other = f.replica(settings()).await;
    let rotated = other.rotate().await.unwrap().unwrap();
    f.clock.set(NOW + SPREAD);
    let token = issue(&other, Subject::User("alice".into()), "").await;
    assert_eq!(kid(&token), rotated);
    assert!(f.tokens.check(&token).await.is_ok(), "read when it was asked for");
    // A flood of names that nobody has does not become a flood of queries.
    let rules = Rules {
        algorithm: SigningAlgorithm::Es256,
        rotation: Duration::ZERO,
        shown_for: Duration::from_mins(6),
    };
    let ring = Keyring::open(f.catalog.clone(), f.clock.clone(), rules).await.unwrap();
    let newest = other.rotate().await.unwrap().unwrap();
    for n in 0..1000 {
        assert!(ring.find(&format!("kid{n}")).await.unwrap().is_none());
    }
    assert!(ring.find(&newest).await.unwrap().is_none(), "it did not ask the catalog again");
    f.clock.set(NOW + SPREAD + Duration::from_secs(2));
    assert!(ring.find(&newest).await.unwrap().is_some());
}

#[tokio::test]
async fn another_algorithm_makes_another_key() {
    let f = Fixture::new().await;
    let old = f.token("alice", "").await;
    let other = Settings { algorithm: SigningAlgorithm::EdDsa, ..settings() };
    let changed = f.replica(other.clone()).await;
    f.clock.set(NOW + SPREAD);
    let new = issue(&changed, Subject::User("alice".into()), "").await;
    assert_eq!(parts(&new)[0]["alg"], "EdDSA");
    assert!(changed.check(&old).await.is_ok());
    assert_eq!(f.replica(other).await.published().keys.len(), 2, "once");
}

#[tokio::test]
async fn without_a_rotation_keys_stay() {
    let f = Fixture::with(|_| Settings { rotation: Duration::ZERO, ..settings() }).await;
    f.clock.set(NOW + DAY * 999);
    f.tokens.tend().await.unwrap();
    assert_eq!(f.tokens.published().keys.len(), 1);
}
