use proptest::prelude::*;

use super::*;

#[test]
fn every_key_is_read() {
    let text = "\
registry.example.com:
    images:
        busybox: []
        alpine:
        redis:
            - 1.0
            - \"2.0\"
            - \"sha256:0000000000000000000000000000000011111111111111111111111111111111\"
    images-by-tag-regex:
        nginx: ^1\\.13\\.[12]-alpine-perl$
    images-by-semver:
        group/tool: \">= 3.12.0\"
    credentials:
        username: john
        password: this is a secret
    tls-verify: true
    cert-dir: /home/john/certs
    exclude: [\"*-rc*\", \"re:^nightly\"]
    latest: 5
    platforms: [linux/amd64, linux/arm64/v8]
    prune: true
    referrers: true
quay.io:
    tls-verify: false
    images:
        coreos/etcd:
            - latest
";
    let [first, second] = <[Registry; 2]>::try_from(parse(text).unwrap()).unwrap();
    let wanted: Vec<String> = first
        .repositories
        .iter()
        .map(|wanted| {
            let images = match &wanted.images {
                Images::Named(named) => named.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                Images::Listed(Rule::Every) => "every".to_owned(),
                Images::Listed(Rule::Regex(regex)) => regex.to_string(),
                Images::Listed(Rule::Semver(_)) => "semver".to_owned(),
            };
            format!("{}: {images}", wanted.repository)
        })
        .collect();
    assert_eq!(
        wanted,
        [
            "registry.example.com/busybox: every",
            "registry.example.com/alpine: every",
            "registry.example.com/redis: 1.0 2.0 \
             sha256:0000000000000000000000000000000011111111111111111111111111111111",
            "registry.example.com/nginx: ^1\\.13\\.[12]-alpine-perl$",
            "registry.example.com/group/tool: semver",
        ]
    );
    let (username, password) = first.credentials.as_ref().unwrap();
    assert_eq!((username.as_str(), password.expose()), ("john", "this is a secret"));
    assert_eq!((first.tls_verify, second.tls_verify), (Some(true), Some(false)));
    assert_eq!(first.cert_dir.as_deref(), Some(Path::new("/home/john/certs")));
    assert_eq!((first.exclude.len(), first.latest, first.platforms.len()), (2, Some(5), 2));
    assert!(first.prune && first.referrers && !second.prune && !second.referrers);
    assert_eq!(second.repositories[0].repository.to_string(), "quay.io/coreos/etcd");
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let text = "\
quay.io:
  imagse: {a: []}
  images:
    UPPER: []
    a: latest
    b: [ok, \"not ok\"]
    c:1: []
  images-by-tag-regex:
    d: \"(\"
  images-by-semver:
    e: nonsense
  credentials: {username: x, pasword: y}
  tls-verify: maybe
  latest: 0
  platforms: [linux]
  exclude: \"*\"
other.io: []
";
    let faults = parse(text).unwrap_err();
    for (line, word) in [
        (2, "\"imagse\" is no key; known are images, images-by-tag-regex"),
        (4, "quay.io: images: UPPER: a repository name is made of"),
        (5, "a is a single value; write a list"),
        (6, "b: a tag has 1 to 128"),
        (7, "has a tag or digest"),
        (9, "d: \"(\" is no pattern"),
        (11, "e: \"nonsense\" is no constraint"),
        (12, "pasword is no key"),
        (12, "need both username: and password:"),
        (13, "\"maybe\" is neither true nor false"),
        (14, "\"0\" is no count"),
        (15, "platforms: "),
        (16, "exclude is a single value"),
        (17, "other.io is a list"),
    ] {
        let prefix = format!("line {line}: ");
        assert!(
            faults.iter().any(|fault| fault.starts_with(&prefix) && fault.contains(word)),
            "line {line}, {word}: {faults:#?}"
        );
    }
    assert_eq!(faults.len(), 14, "{faults:#?}");
}

#[test]
fn a_secret_is_in_no_fault() {
    let text = "r.io:\n  credentials: {username: u, password: [hunter2]}\n  images: hunter\n";
    assert!(!parse(text).unwrap_err().concat().contains("hunter2"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-c:\\-\\[\\]{}&*!|> \n\"'#,.0-9]{0,80}") {
        let _either = parse(&text);
    }
}
