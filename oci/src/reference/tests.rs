use super::*;

fn parse(text: &str) -> Reference {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn shorthands_mean_what_docker_made_them_mean() {
    for (text, full, familiar) in [
        ("ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("ubuntu:24.04", "docker.io/library/ubuntu:24.04", "ubuntu:24.04"),
        ("library/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("index.docker.io/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("a/b", "docker.io/a/b", "a/b"),
        ("a/b/c:v1", "docker.io/a/b/c:v1", "a/b/c:v1"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("localhost/a", "localhost/a", "localhost/a"),
        ("localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000/a:b"),
        ("docker.io/localhost/a", "docker.io/localhost/a", "docker.io/localhost/a"),
        ("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c"),
        ("Host/a", "Host/a", "Host/a"),
        ("example.org/a", "example.org/a", "example.org/a"),
        ("[::1]:5000/a/b", "[::1]:5000/a/b", "[::1]:5000/a/b"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a", "127.0.0.1:5000/a"),
    ] {
        let reference = parse(text);
        assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (full, familiar));
        assert_eq!(parse(full), reference);
        assert_eq!(parse(familiar), reference);
    }
}

#[test]
fn a_digest_stands_beside_a_tag_and_is_what_is_asked_for() {
    let digest = Digest::from_hash(crate::Algorithm::Sha256, &[7; 32]);
    let text = format!("example.org:443/a/b:v1@{digest}");
    let reference = parse(&text);
    assert_eq!(reference.host(), "example.org:443");
    assert_eq!(reference.name().as_str(), "a/b");
    assert_eq!(reference.tag().map(Tag::as_str), Some("v1"));
    assert_eq!(reference.target(), Some(ManifestReference::Digest(digest)));
    assert_eq!(reference.to_string(), text);
    assert_eq!(reference.clone().or_latest(), reference);
}

#[test]
fn the_default_tag_is_given_only_where_nothing_is() {
    assert_eq!(parse("a").target(), None);
    assert_eq!(parse("a").or_latest().to_string(), "docker.io/library/a:latest");
    assert_eq!(parse("a:b").or_latest().familiar(), "a:b");
}

#[test]
fn what_is_no_reference_says_which_part_is_wrong() {
    use ImageReferenceError as E;
    let id = "0123456789abcdef".repeat(4);
    for (text, error) in [
        ("", E::Name(NameError::Length)),
        ("example.org/", E::Name(NameError::Length)),
        ("docker.io/", E::Name(NameError::Length)),
        ("UPPER", E::Name(NameError::Pattern)),
        ("a//b", E::Name(NameError::Pattern)),
        ("example.org/A", E::Name(NameError::Pattern)),
        ("a/../b", E::Name(NameError::Pattern)),
        ("a:", E::Tag(TagError)),
        ("a:b:c", E::Tag(TagError)),
        ("a@sha256:x", E::Digest(DigestError::Hash)),
        ("a@b", E::Digest(DigestError::Form)),
        ("-x.org/a", E::Host),
        ("x.org:99999/a", E::Host),
        ("x.org:/a", E::Host),
        ("x.org:+5/a", E::Host),
        ("[::1/a", E::Host),
        ("[::1]x/a", E::Host),
        ("user:password.x/a", E::Host),
        (id.as_str(), E::Identifier),
    ] {
        assert_eq!(text.parse::<Reference>(), Err(error), "{text}");
    }
}
