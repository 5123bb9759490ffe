//! What is a policy, and what is none.

use std::fs;

use proptest::prelude::*;

use super::super::*;
use crate::config::Environment;

const FULL: &str = r#"{
  "default": [{"type": "reject"}],
  "transports": {
    "docker": {
      "": [{"type": "insecureAcceptAnything"}],
      "docker.io/library/busybox": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k.gpg"}],
      "a.example:5000/ns": [
        {"type": "signedBy", "keyType": "GPGKeys", "keyPaths": ["/a", "/b"], "signedIdentity": {"type": "matchExact"}},
        {"type": "sigstoreSigned", "keyData": "AAAA", "signedIdentity": {"type": "remapIdentity", "prefix": "a.example:5000/ns", "signedPrefix": "b.example"}}
      ],
      "*.example.org": [{"type": "sigstoreSigned",
        "fulcio": {"caPath": "/ca", "oidcIssuer": "https://i", "subjectEmail": "a@b"},
        "rekorPublicKeyDatas": ["AAAA", "BBBB"], "signedIdentity": {"type": "exactRepository", "dockerRepository": "x.example/y"}}],
      "h.example": [{"type": "sigstoreSigned", "pki": {"caRootsPath": "/r", "caIntermediatesData": "AAAA", "subjectHostname": "h"},
        "signedIdentity": {"type": "exactReference", "dockerReference": "x.example/y:1"}}]
    },
    "dir": {"/var/images": [{"type": "signedBaseLayer", "baseLayerIdentity": {"type": "matchRepository"}}]},
    "unheard-of": {"whatever": [{"type": "reject"}]}
  }
}"#;

fn faults(text: &str) -> String {
    Policy::parse(text.as_bytes(), false).unwrap_err().to_string()
}

#[test]
fn every_requirement_is_read() {
    let policy = Policy::parse(FULL.as_bytes(), false).unwrap();
    let of = |name: &str| policy.requirements(&name.parse().unwrap()).to_vec();
    assert_eq!(of("docker://quay.io/x"), [Requirement::InsecureAcceptAnything]);
    assert_eq!(of("oci:/x"), [Requirement::Reject]);
    assert_eq!(of("dir:/var/images/deep/er"), [Requirement::SignedBaseLayer]);
    assert_eq!(of("dir:/var/imagesque"), [Requirement::Reject]);
    let keys = Material::Files(vec!["/k.gpg".into()]);
    assert_eq!(of("docker://busybox"), [Requirement::SignedBy { keys, identity: Identity::default() }]);
    let both = of("docker://a.example:5000/ns/app");
    assert_eq!(both.len(), 2);
    assert!(matches!(&both[0], Requirement::SignedBy { identity: Identity::MatchExact, .. }));
    assert!(matches!(&both[1], Requirement::SigstoreSigned { rekor: None, .. }));
    let fulcio = of("docker://deep.er.example.org/app");
    assert!(matches!(
        &fulcio[..],
        [Requirement::SigstoreSigned { signer: Signer::Fulcio { .. }, rekor: Some(Material::Data(logs)), .. }] if logs.len() == 2
    ));
    assert!(matches!(
        &of("docker://h.example/app")[..],
        [Requirement::SigstoreSigned { signer: Signer::Pki { .. }, .. }]
    ));
    assert!(policy.reads_signatures(&"docker://busybox".parse().unwrap()));
    assert!(!policy.reads_signatures(&"docker://quay.io/x".parse().unwrap()));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row per rule")]
fn whatever_is_unknown_twice_or_malformed_refuses_the_policy() {
    let signed = |rest: &str| format!(r#"{{"default":[{{"type":"signedBy"{rest}}}]}}"#);
    let sigstore = |rest: &str| format!(r#"{{"default":[{{"type":"sigstoreSigned"{rest}}}]}}"#);
    let identity = |rest: &str| {
        format!(r#"{{"default":[{{"type":"sigstoreSigned","keyPath":"/k","signedIdentity":{{{rest}}}}}]}}"#)
    };
    let scoped = |transport: &str, scope: &str| {
        format!(
            r#"{{"default":[{{"type":"reject"}}],"transports":{{"{transport}":{{"{scope}":[{{"type":"reject"}}]}}}}}}"#
        )
    };
    for (text, reason) in [
        (String::new(), "invalid JSON"),
        ("[]".to_owned(), "expected an object, found an array"),
        ("{}".to_owned(), "default: is required"),
        (r#"{"default":[]}"#.to_owned(), "must not be empty"),
        (r#"{"default":{}}"#.to_owned(), "expected an array"),
        (
            r#"{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}"#.to_owned(),
            "duplicate field \"default\"",
        ),
        (
            r#"{"default":[{"type":"reject","type":"insecureAcceptAnything"}]}"#.to_owned(),
            "duplicate field \"type\"",
        ),
        (r#"{"default":[{"type":"reject"}],"Default":[]}"#.to_owned(), "unknown field \"Default\""),
        (r#"{"default":[{"type":"reject","x":1}]}"#.to_owned(), "default[0]: unknown field \"x\""),
        (r#"{"default":[{"Type":"reject"}]}"#.to_owned(), "default[0].type: is required"),
        (r#"{"default":[{"type":"accept"}]}"#.to_owned(), "unknown requirement \"accept\""),
        (r#"{"default":["reject"]}"#.to_owned(), "default[0]: expected an object, found a string"),
        (r#"{"default":[{"type":"reject"}]} {}"#.to_owned(), "invalid JSON"),
        (r#"{"default":[{"type":"reject"}],"transports":[]}"#.to_owned(), "transports: expected an object"),
        (
            r#"{"default":[{"type":"reject"}],"transports":{"docker":{"":[]}}}"#.to_owned(),
            "transports.docker.\"\": the list",
        ),
        (scoped("dir", "/"), "scope of this transport is written"),
        (scoped("dir", "x/../y"), "absolute path"),
        (scoped("docker", "*"), "wildcard"),
        (scoped("docker-archive", "/x"), "has no scope but"),
        (signed(""), "keyType: is required"),
        (signed(r#","keyType":"X509Certificates","keyPath":"/k""#), "only GPGKeys"),
        (signed(r#","keyType":"GPGKeys""#), "one of keyPath, keyPaths, keyData is required"),
        (signed(r#","keyType":"GPGKeys","keyPath":"/k","keyData":"AAAA""#), "only one of keyPath, keyData"),
        (signed(r#","keyType":"GPGKeys","keyPath":"""#), "keyPath: is empty"),
        (signed(r#","keyType":"GPGKeys","keyPath":7"#), "keyPath: expected a string"),
        (signed(r#","keyType":"GPGKeys","keyPaths":[]"#), "keyPaths: is empty"),
        (signed(r#","keyType":"GPGKeys","keyPaths":["/a",1]"#), "keyPaths[1]: expected a string"),
        (signed(r#","keyType":"GPGKeys","keyData":"!""#), "no base64"),
        (signed(r#","keyType":"GPGKeys","keyDatas":["AAAA"]"#), "unknown field \"keyDatas\""),
        (sigstore(""), "exactly one of"),
        (sigstore(r#","keyPath":"/k","pki":{"caRootsPath":"/r","subjectEmail":"e"}"#), "exactly one of"),
        (
            sigstore(r#","fulcio":{"caPath":"/c","oidcIssuer":"i","subjectEmail":"e"}"#),
            "with fulcio a rekorPublicKey",
        ),
        (
            sigstore(r#","fulcio":{"caPath":"/c","oidcIssuer":"i"},"rekorPublicKeyPath":"/r""#),
            "subjectEmail: is required",
        ),
        (
            sigstore(
                r#","fulcio":{"caPath":"/c","caData":"AAAA","oidcIssuer":"i","subjectEmail":"e"},"rekorPublicKeyPath":"/r""#,
            ),
            "only one of caPath, caData",
        ),
        (sigstore(r#","pki":{"caRootsPath":"/r"}"#), "one of subjectEmail and subjectHostname"),
        (sigstore(r#","pki":{"subjectEmail":"e"}"#), "one of caRootsPath, caRootsData is required"),
        (
            sigstore(r#","pki":{"caRootsPath":"/r","subjectEmail":"e"},"rekorPublicKeyPath":"/r""#),
            "not supported with pki",
        ),
        (
            sigstore(r#","keyPath":"/k","rekorPublicKeyPath":"/r","rekorPublicKeyData":"AAAA""#),
            "only one of rekorPublicKeyPath",
        ),
        (sigstore(r#","keyPath":"/k","keyType":"GPGKeys""#), "unknown field \"keyType\""),
        (identity(r#""type":"matchAll""#), "unknown identity \"matchAll\""),
        (identity(r#""type":"matchExact","prefix":"x""#), "unknown field \"prefix\""),
        (
            identity(r#""type":"exactReference","dockerReference":"x.example/y""#),
            "a tag or a digest is required",
        ),
        (
            identity(r#""type":"exactReference","dockerReference":"UPPER case""#),
            "dockerReference: \"UPPER case\"",
        ),
        (
            identity(r#""type":"exactRepository","dockerRepository":"x.example/y:1""#),
            "neither tag nor digest",
        ),
        (identity(r#""type":"exactRepository""#), "dockerRepository: is required"),
        (identity(r#""type":"remapIdentity","prefix":"a.example""#), "signedPrefix: is required"),
        (identity(r#""type":"remapIdentity","prefix":"busybox/x","signedPrefix":"a.example""#), "full form"),
        (
            identity(r#""type":"remapIdentity","prefix":"a.example/x:1","signedPrefix":"a.example""#),
            "full form",
        ),
        (r#"{"default":[{"type":"signedBaseLayer"}]}"#.to_owned(), "baseLayerIdentity: is required"),
        ("[".repeat(100_000), "invalid JSON"),
    ] {
        let error = faults(&text);
        assert!(error.contains(reason), "{text}\n{reason}\n{error}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let error =
        faults(r#"{"default":[{"type":"x"},{"type":"reject","y":1}],"transports":{"dir":{"/":[]}},"z":0}"#);
    assert!(error.starts_with("policy: 5 problems\n"), "{error}");
    let many = format!(r#"{{"default":[{}{{}}]}}"#, "{},".repeat(5000));
    assert!(faults(&many).lines().count() < 200);
}

#[test]
fn a_policy_that_is_a_link_to_nothing_accepts_nothing() {
    for place in ["home/.config/containers", "etc/containers"] {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::under(folder.path());
        fs::create_dir_all(folder.path().join(place)).unwrap();
        let path = folder.path().join(place).join("policy.json");
        std::os::unix::fs::symlink("nothing", &path).unwrap();
        let error = Policy::load_in(&Settings::default(), &environment).unwrap_err();
        assert!(matches!(&error, Error::File { .. }) && error.to_string().contains("policy.json"), "{error}");
    }
}

#[test]
fn the_policy_is_the_first_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::under(folder.path());
    let default = |settings: &Settings| Policy::load_in(settings, &environment).unwrap().rules.default;
    let settings = Settings::default();
    assert_eq!(default(&settings), [Requirement::InsecureAcceptAnything]);
    let write = |path: &str, kind: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!(r#"{{"default":[{{"type":"{kind}"}}]}}"#)).unwrap();
        path
    };
    write("etc/containers/policy.json", "reject");
    assert_eq!(default(&settings), [Requirement::Reject]);
    write("home/.config/containers/policy.json", "insecureAcceptAnything");
    assert_eq!(default(&settings), [Requirement::InsecureAcceptAnything]);
    let named = Settings { policy: Some(write("named.json", "reject")), ..Settings::default() };
    assert_eq!(default(&named), [Requirement::Reject]);
    let broken = Settings { policy: Some(write("broken.json", "typo")), ..Settings::default() };
    let error = Policy::load_in(&broken, &environment).unwrap_err();
    assert!(error.to_string().contains("broken.json: default[0].type: unknown requirement"), "{error}");
    let missing = Settings { policy: Some(folder.path().join("none")), ..Settings::default() };
    assert!(matches!(Policy::load_in(&missing, &environment), Err(Error::File { .. })));
    let insecure = Settings { insecure_policy: true, ..broken };
    assert_eq!(default(&insecure), [Requirement::InsecureAcceptAnything]);
    let both = Settings { require_signed: true, ..insecure };
    assert!(matches!(Policy::load_in(&both, &environment), Err(Error::Usage(_))));
}

proptest! {
    #[test]
    fn no_policy_makes_the_reader_panic(text in ".*", at in 0..FULL.len(), byte in any::<u8>()) {
        let _ = Policy::parse(text.as_bytes(), false);
        let mut changed = FULL.as_bytes().to_vec();
        changed[at] = byte;
        let _ = Policy::parse(&changed, false);
        prop_assert!(Policy::parse(&FULL.as_bytes()[..at], false).is_err());
    }
}
