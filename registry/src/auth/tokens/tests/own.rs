//! Tokens of our own, and what others would like to pass for them.

use berth_oci::RepoName;

use super::*;
use crate::policy::{Effect, Live, Rule, Verb, Verbs};

/// The registry's own key: what a test signs with it is well signed.
fn own_key(f: &Fixture) -> EncodingKey {
    f.tokens.keyring.signing().unwrap().signs.clone()
}

async fn own_parts(f: &Fixture) -> [Value; 2] {
    parts(&f.token("alice", "repository:team/app:pull").await)
}

#[tokio::test]
async fn what_is_issued_is_taken_back_with_what_it_grants() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        let f = Fixture::with(|_| Settings { algorithm, ..settings() }).await;
        let token = f.token("alice", "repository:team/app:pull,push").await;
        let [header, claims] = parts(&token);
        assert_eq!(header["alg"], algorithm.name());
        let (from, to) = (claims["nbf"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert_eq!((from, to - from), (at(NOW), 300));
        let who = f.tokens.check(&token).await.unwrap();
        assert_eq!(who.subject, Subject::User("alice".to_owned()));
        let scopes = vec!["repository:team/app:pull,push,overwrite".parse().unwrap()];
        assert_eq!(who.authority, Authority::Granted(scopes));
    }
}

#[tokio::test]
async fn anonymous_gets_a_token_too() {
    let f = Fixture::new().await;
    let token = issue(&f.tokens, Subject::Anonymous, "repository:team/app:pull registry:catalog:*").await;
    let who = f.tokens.check(&token).await.unwrap();
    assert_eq!(who.subject, Subject::Anonymous);
    let pull = vec!["repository:team/app:pull".parse().unwrap()];
    assert_eq!(who.authority, Authority::Granted(pull), "and no list of repositories (R21)");
}

#[tokio::test]
async fn r22_a_rule_about_a_group_holds_for_its_members_when_they_come_with_a_token() {
    let mut f = Fixture::new().await;
    let rule = |name: &str, effect, subject: &str, verb, tags: &[&str]| Rule {
        name: name.to_owned(),
        effect,
        subjects: vec![subject.to_owned()],
        verbs: Verbs::of(&[verb]),
        repositories: vec!["team/**".to_owned()],
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    let rules = vec![
        rule("guests-see-nothing", Effect::Deny, "group:guests", Verb::Pull, &[]),
        rule("guests-keep", Effect::Deny, "group:guests", Verb::Overwrite, &["v*"]),
        rule("all", Effect::Allow, "authenticated", Verb::Overwrite, &[]),
        rule("see", Effect::Allow, "authenticated", Verb::Pull, &[]),
    ];
    let policy = Policy::Rules(Live::new(rules).unwrap());
    f.tokens.policy = policy.clone();
    let repo: RepoName = "team/app".parse().unwrap();
    for (groups, may) in [(vec!["guests", "chess"], false), (vec!["chess"], true)] {
        let groups = groups.into_iter().map(str::to_owned).collect();
        let who = Principal { subject: Subject::User("bob".to_owned()), groups, ..Principal::default() };
        let scopes = asked(["repository:team/app:push registry:catalog:*"]).unwrap();
        let grant = Grant { who, scopes: &scopes, offline: None, shown: None };
        let token = f.tokens.issue(grant).await.unwrap().token;
        let who = f.tokens.check(&token).await.unwrap();
        let tag = "v1".parse().unwrap();
        assert_eq!(policy.decide_tag(&who, Verb::Overwrite, Some(&repo), Some(&tag)).allowed, may);
        assert_eq!(policy.sees(&who, &repo), may);
        assert!(!parts(&token)[1].to_string().contains("chess"), "no rule is about that group");
    }
}

#[tokio::test]
async fn a_token_is_not_had_with_a_token() {
    let f = Fixture::new().await;
    let who = f.tokens.check(&f.token("alice", "repository:a:pull").await).await.unwrap();
    let scopes = asked(["repository:a:pull"]).unwrap();
    let local = Principal { subject: Subject::Local, ..Principal::default() };
    for who in [who, local] {
        let again = f.tokens.issue(Grant { who, scopes: &scopes, offline: None, shown: None }).await;
        assert!(matches!(again, Err(AuthError::Invalid(_))), "{again:?}");
    }
}

#[tokio::test]
async fn r23_a_token_with_alg_none_is_refused() {
    let f = Fixture::new().await;
    let [mut header, claims] = own_parts(&f).await;
    for alg in ["none", "None", "NONE", ""] {
        header["alg"] = alg.into();
        for signature in ["", "AA"] {
            f.refused(&format!("{}.{}.{signature}", part(&header), part(&claims))).await;
        }
    }
}

#[tokio::test]
async fn r23_hs256_keyed_with_the_public_key_is_refused() {
    let f = Fixture::new().await;
    let [mut header, claims] = own_parts(&f).await;
    let key = f.tokens.keyring.signing().unwrap();
    let jwk = serde_json::to_string(&key.published).unwrap();
    let point = key.verifies.try_get_as_bytes().unwrap();
    let set = serde_json::to_string(&f.tokens.published()).unwrap();
    header["alg"] = "HS256".into();
    for secret in [point, jwk.as_bytes(), set.as_bytes()] {
        let message = format!("{}.{}", part(&header), part(&claims));
        let secret = EncodingKey::from_secret(secret);
        let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
        let why = f.refused(&format!("{message}.{mac}")).await;
        assert_eq!(why, "the token's algorithm is not its key's");
    }
}

#[tokio::test]
async fn r23_keys_that_a_token_brings_along_are_not_used() {
    let f = Fixture::new().await;
    let [header, claims] = own_parts(&f).await;
    let stranger = Stranger::new("stranger");
    let brings = [
        ("jwk", stranger.jwk.clone()),
        ("x5c", json!(["MIIB"])),
        ("jku", json!("https://stranger.example/keys")),
        ("x5u", json!("https://stranger.example/certificate")),
    ];
    for (field, value) in brings {
        for kid in [header["kid"].clone(), json!("stranger"), Value::Null] {
            let mut header = header.clone();
            header[field] = value.clone();
            header["kid"] = kid;
            f.refused(&stranger.sign(&header, &claims)).await;
        }
    }
    let mut critical = header;
    critical["crit"] = json!(["exp"]);
    f.refused(&sign(&own_key(&f), &critical, &claims)).await;
}

#[tokio::test]
async fn r23_the_name_of_a_key_is_looked_up_and_nothing_else() {
    let f = Fixture::new().await;
    let [mut header, claims] = own_parts(&f).await;
    for kid in ["../", "../../dev/null", "/dev/null", "", "' OR 1=1 --", "\0", &"k".repeat(20_000)] {
        header["kid"] = kid.into();
        f.refused(&sign(&own_key(&f), &header, &claims)).await;
    }
    for kid in [json!(1), json!([]), json!({}), Value::Null] {
        header["kid"] = kid;
        f.refused(&sign(&own_key(&f), &header, &claims)).await;
    }
}

#[tokio::test]
async fn r23_an_altered_token_is_refused_wherever_it_is_altered() {
    let f = Fixture::new().await;
    let token = f.token("alice", "repository:team/app:pull").await;
    for place in 0..token.len() {
        let mut altered = token.clone().into_bytes();
        altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        // The last letter's last bits are no part of the signature.
        if f.tokens.check(&altered).await.is_ok() {
            assert_eq!(place, token.len() - 1);
        }
    }
    for text in ["", ".", "..", "a.b.c", "Bearer x", &"eyJ".repeat(30_000), &format!("{token}.x")] {
        f.refused(text).await;
    }
}

#[tokio::test]
async fn r24_times_that_are_missing_or_no_numbers_are_refused() {
    let f = Fixture::new().await;
    let [header, claims] = own_parts(&f).await;
    let key = own_key(&f);
    assert!(f.tokens.check(&sign(&key, &header, &claims)).await.is_ok(), "it is the times alone");
    for name in ["exp", "nbf"] {
        let good = claims[name].as_i64().unwrap();
        for bad in
            [json!(good.to_string()), json!("soon"), Value::Null, json!([good]), json!(true), json!({})]
        {
            let mut claims = claims.clone();
            claims[name] = bad.clone();
            let why = f.refused(&sign(&key, &header, &claims)).await;
            let sentence = format!("the token's {name} is not a number of seconds");
            assert!(why == sentence || why == "the token's claims cannot be read", "{bad}: {why}");
        }
        let mut claims = claims.clone();
        claims.as_object_mut().unwrap().remove(name);
        let why = f.refused(&sign(&key, &header, &claims)).await;
        assert!(why.starts_with("the token has no "), "{why}");
    }
}

#[tokio::test]
async fn r25_a_token_for_another_audience_or_of_another_issuer_is_refused() {
    let f = Fixture::new().await;
    let [header, claims] = own_parts(&f).await;
    let key = own_key(&f);
    for (name, value) in [
        ("aud", json!("other.example")),
        ("aud", json!([])),
        ("aud", json!(["other.example"])),
        ("aud", Value::Null),
        ("iss", json!("other.example")),
        ("iss", json!([SERVICE])),
        ("iss", json!("")),
        ("sub", json!("local")),
        ("sub", json!("admin:alice")),
        ("sub", Value::Null),
    ] {
        let mut claims = claims.clone();
        claims[name] = value.clone();
        let outcome = f.tokens.check(&sign(&key, &header, &claims)).await;
        assert!(matches!(outcome, Err(AuthError::Invalid(_))), "{name} {value}: {outcome:?}");
    }
    let mut several = claims;
    several["aud"] = json!(["other.example", SERVICE]);
    assert!(f.tokens.check(&sign(&key, &header, &several)).await.is_ok());
}

#[tokio::test]
async fn r25_a_claim_of_everything_grants_nothing() {
    let f = Fixture::new().await;
    let [header, mut claims] = own_parts(&f).await;
    claims["access"] = json!([
        { "type": "repository", "name": "*", "actions": ["*"] },
        { "type": "registry", "name": "*", "actions": ["*"] },
        { "type": "repository", "name": "a b:pull", "actions": ["pull"] },
    ]);
    let who = f.tokens.check(&sign(&own_key(&f), &header, &claims)).await.unwrap();
    assert_eq!(who.authority, Authority::Granted(Vec::new()));
}

#[tokio::test]
async fn f19_clocks_may_differ_by_a_minute_and_not_by_an_hour() {
    let f = Fixture::new().await;
    let token = f.token("alice", "repository:team/app:pull").await;
    let end = NOW + Duration::from_mins(5);
    let taken =
        [NOW - Duration::from_mins(1), NOW, end - Duration::from_secs(1), end + Duration::from_secs(59)];
    let refused = [
        (NOW - Duration::from_secs(61), "the token is not valid yet; compare the clocks"),
        (NOW - Duration::from_hours(1), "the token is not valid yet; compare the clocks"),
        (end + Duration::from_mins(1), "the token has expired"),
        (NOW + Duration::from_hours(1), "the token has expired"),
    ];
    // What is remembered of a token must not outlive it: looked at in both orders.
    for _ in 0..2 {
        for time in taken {
            f.clock.set(time);
            assert!(f.tokens.check(&token).await.is_ok(), "{time:?}");
        }
        f.clock.set(refused[3].0);
        assert_eq!(f.refused(&token).await, refused[3].1);
    }
    for (time, why) in refused {
        let fresh = f.replica(settings()).await;
        f.clock.set(time);
        assert_eq!(super::refused(&fresh, &token).await, why);
    }
}

#[tokio::test]
async fn a_challenge_says_where_tokens_are_and_what_was_wrong_with_the_one_shown() {
    use crate::auth::Refused;
    let f = Fixture::new().await;
    let request = |authorization: Option<&str>| {
        let mut request = http::Request::builder().uri("/v2/");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.body(()).unwrap().into_parts().0
    };
    let scope = "repository:team/app:pull,push";
    let start = "Bearer realm=\"https://registry.example/token\",service=\"registry.example\"";
    let challenge = |shown, scope, refused| f.tokens.challenge(&request(shown), scope, refused);
    assert_eq!(challenge(None, "", Refused::Anonymous), start);
    assert_eq!(challenge(None, scope, Refused::Anonymous), format!("{start},scope=\"{scope}\""));
    assert_eq!(
        challenge(Some("Bearer x"), scope, Refused::Insufficient),
        format!("{start},scope=\"{scope}\",error=\"insufficient_scope\"")
    );
    assert_eq!(challenge(Some("bearer x"), "", Refused::Invalid), format!("{start},error=\"invalid_token\""));
    assert_eq!(challenge(Some("Basic x"), "", Refused::Invalid), start, "no token was shown");
}
