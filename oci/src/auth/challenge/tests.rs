use super::*;

fn bearer(realm: &str) -> Bearer {
    Bearer { realm: realm.to_owned(), ..Bearer::default() }
}

fn basic(realm: &str) -> Challenge {
    Challenge::Basic { realm: realm.to_owned() }
}

fn other(scheme: &str) -> Challenge {
    Challenge::Other { scheme: scheme.to_owned() }
}

#[test]
fn a_registrys_bearer_challenge_is_read() {
    let header = r#"Bearer realm="https://auth.example.org/token",service="registry.example.org",scope="repository:a/b:pull,push",error="insufficient_scope""#;
    let expected = Bearer {
        service: Some("registry.example.org".into()),
        scope: Some("repository:a/b:pull,push".into()),
        error: Some("insufficient_scope".into()),
        ..bearer("https://auth.example.org/token")
    };
    let challenge = Challenge::Bearer(expected.clone());
    assert_eq!(Challenge::parse_all(header), Ok(vec![challenge.clone()]));
    assert_eq!(challenge.to_string(), header);
    assert_eq!(expected.scopes().unwrap().to_string(), "repository:a/b:pull,push");
    assert!(bearer("x").scopes().unwrap().is_empty());
}

#[test]
fn several_challenges_stand_in_one_header() {
    let realm = Challenge::Bearer(bearer("r"));
    for (header, expected) in [
        (r#"Basic realm="a b", Bearer realm="r""#, vec![basic("a b"), realm.clone()]),
        (r#"Bearer realm="r" , basic REALM=x"#, vec![realm.clone(), basic("x")]),
        (r#", ,Negotiate abc==, Bearer realm="r","#, vec![other("Negotiate"), realm.clone()]),
        (r#"Negotiate, bearer realm = "r", unknown="1""#, vec![other("Negotiate"), realm.clone()]),
        ("Basic", vec![basic("")]),
        ("Bearer error=\"x\"", vec![other("Bearer")]),
        ("", vec![]),
    ] {
        assert_eq!(Challenge::parse_all(header), Ok(expected), "{header}");
    }
}

#[test]
fn quotes_and_backslashes_survive_and_control_characters_do_not() {
    let challenge = basic(r#"a "quoted" \ realm, with = and ü"#);
    assert_eq!(Challenge::parse_all(&challenge.to_string()), Ok(vec![challenge]));
    assert_eq!(basic("a\r\nSet-Cookie: b").to_string(), "Basic realm=\"a  Set-Cookie: b\"");
}

#[test]
fn an_unquoted_url_is_read_as_it_was_meant() {
    let header = "Bearer realm=https://auth.example.org/token?a=b,service=x";
    let expected = Bearer { service: Some("x".into()), ..bearer("https://auth.example.org/token?a=b") };
    assert_eq!(Challenge::parse_all(header), Ok(vec![Challenge::Bearer(expected)]));
}

#[test]
fn what_is_no_challenge_is_refused() {
    for header in [
        "=",
        "realm=\"x\"",
        "Bearer realm=\"x",
        "Bearer realm=\"x\\\"",
        "Bearer realm=\"x\" service=\"y\"",
        "Bearer realm \"x\"",
        "Bearer realm=\"a\u{1b}\"",
        "ü",
    ] {
        assert!(matches!(Challenge::parse_all(header), Err(ChallengeError::Syntax { .. })), "{header}");
    }
    let twice = r#"Bearer realm="https://good",Realm="https://evil""#;
    assert!(matches!(Challenge::parse_all(twice), Err(ChallengeError::Twice { .. })));
}
