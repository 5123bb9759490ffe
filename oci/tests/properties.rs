//! For each parser: no text panics, and what was rendered parses to the same value.
#![expect(clippy::unwrap_used, reason = "generators outside of test functions")]

use berth_oci::{
    Algorithm, Descriptor, Digest, ErrorBody, Manifest, ManifestReference, Platform, Reference, RepoName,
    Tag,
    auth::{Bearer, Challenge, Resource, Scope, Scopes},
    manifest::{Kind, referrers_index},
};
use bytes::Bytes;
use proptest::prelude::*;

const COMPONENT: &str = "[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}";

fn name() -> impl Strategy<Value = RepoName> {
    let name = format!("{COMPONENT}(/{COMPONENT}){{0,3}}");
    prop::string::string_regex(&name).unwrap().prop_map(|name| name.parse().unwrap())
}

fn digest() -> impl Strategy<Value = Digest> {
    (any::<bool>(), any::<[u8; 32]>()).prop_map(|(long, half)| {
        let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
        Digest::from_hash(algorithm, &[half, half].concat()[..algorithm.hex_len() / 2])
    })
}

fn tag() -> impl Strategy<Value = Tag> {
    "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}".prop_map(|tag| tag.parse().unwrap())
}

fn reference() -> impl Strategy<Value = Reference> {
    let host = "docker\\.io|index\\.docker\\.io|localhost(:[1-9][0-9]{0,3})?|[a-z0-9]{1,4}(\\.[A-Za-z0-9]{1,4}){1,2}(:443)?|\\[::[0-9a-f]{0,4}\\]:5000";
    let suffix = (prop::option::of(tag()), prop::option::of(digest()));
    (host, name(), suffix).prop_map(|(host, name, (tag, digest))| {
        Reference::new(&host, name).unwrap().with_tag(tag).with_digest(digest)
    })
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    let annotations = prop::collection::btree_map("\\PC{0,8}", "\\PC{0,8}", 0..3);
    let platform = "[a-z]{1,6}/[a-z0-9]{1,6}(/v[0-9])?".prop_map(|text| text.parse::<Platform>().unwrap());
    let optional = (prop::option::of("[a-z]{1,5}/[a-z.+]{1,9}"), prop::option::of(platform));
    let size = 0..=u64::try_from(i64::MAX).unwrap();
    (digest(), size, prop::collection::vec("\\PC{0,9}", 0..3), annotations, optional).prop_map(
        |(digest, size, urls, annotations, (artifact, platform))| Descriptor {
            urls,
            annotations,
            artifact_type: artifact.as_deref().map(Into::into),
            platform,
            ..Descriptor::new("application/vnd.example".into(), digest, size)
        },
    )
}

fn quotable() -> impl Strategy<Value = String> {
    "[\\PC\t]{0,20}".prop_map(|text| text.chars().filter(|c| !c.is_control() || *c == '\t').collect())
}

fn challenge() -> impl Strategy<Value = Challenge> {
    let option = || prop::option::of(quotable());
    prop_oneof![
        quotable().prop_map(|realm| Challenge::Basic { realm }),
        "[A-Z][a-z]{2,8}X".prop_map(|scheme| Challenge::Other { scheme }),
        (quotable(), option(), option(), option(), option()).prop_map(
            |(realm, service, scope, error, error_description)| {
                Challenge::Bearer(Bearer { realm, service, scope, error, error_description })
            }
        ),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    let resource = prop_oneof![
        3 => name().prop_map(Resource::Repository),
        1 => Just(Resource::Catalog),
        1 => ("[a-z]{1,5}(\\([a-z]{1,5}\\))?", "[a-z:/.]{0,9}z")
            .prop_map(|(kind, name)| Resource::Other { kind, name }),
    ];
    let action = "pull|push|delete|\\*|[a-z]{1,5}".prop_map(|action| action.parse().unwrap());
    (resource, prop::collection::btree_set(action, 0..4))
        .prop_map(|(resource, actions)| Scope { resource, actions })
}

fn scopes() -> impl Strategy<Value = Scopes> {
    prop::collection::vec(scope(), 0..4).prop_map(Scopes::from_iter)
}

proptest! {
    #[test]
    fn names_tags_and_digests_render_and_parse(name in name(), tag in tag(), digest in digest()) {
        prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
        prop_assert_eq!(tag.as_str().parse(), Ok(ManifestReference::Tag(tag.clone())));
        prop_assert_eq!(digest.as_str().parse(), Ok(ManifestReference::Digest(digest.clone())));
    }

    #[test]
    fn references_render_in_full_and_short_and_parse(reference in reference()) {
        prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
        prop_assert_eq!(reference.familiar().parse(), Ok(reference));
    }

    #[test]
    fn descriptors_render_and_parse(entries in prop::collection::vec(descriptor(), 0..4)) {
        let bytes = referrers_index(entries.iter().cloned());
        let manifest = Manifest::parse(bytes.clone().into(), None).unwrap();
        prop_assert_eq!(manifest.kind, Kind::Index);
        prop_assert_eq!(manifest.manifests, entries);
        prop_assert_eq!(manifest.raw, bytes);
    }

    #[test]
    fn challenges_render_and_parse(challenges in prop::collection::vec(challenge(), 0..4)) {
        let header: Vec<String> = challenges.iter().map(ToString::to_string).collect();
        prop_assert_eq!(Challenge::parse_all(&header.join(", ")), Ok(challenges));
    }

    #[test]
    fn scopes_render_and_parse(scope in scope(), scopes in scopes()) {
        prop_assert_eq!(scope.to_string().parse(), Ok(scope));
        prop_assert_eq!(scopes.to_string().parse(), Ok(scopes));
    }

    #[test]
    fn sets_of_scopes_keep_the_laws_of_sets(one in scopes(), two in scopes()) {
        let union = one.clone().union(two.clone());
        let both = one.intersection(&two);
        prop_assert!(one.is_subset(&union) && two.is_subset(&union));
        prop_assert!(both.is_subset(&one) && both.is_subset(&two));
        prop_assert_eq!(&both, &two.intersection(&one));
        prop_assert_eq!(one.is_subset(&two), one.is_subset(&both));
    }

    #[test]
    fn error_bodies_render_and_parse(code in "[A-Z_]{1,9}", message in "\\PC{0,20}") {
        let body: ErrorBody = serde_json::from_value(
            serde_json::json!({"errors": [{"code": code, "message": message, "detail": [code]}]}),
        ).unwrap();
        let again = serde_json::from_slice(&serde_json::to_vec(&body).unwrap()).unwrap();
        prop_assert_eq!(body, again);
    }

    #[test]
    fn no_text_panics_in_any_parser(text in prop_oneof![
        "\\PC{0,60}",
        "[a-z0-9:/@.\\[\\]A-Z_-]{0,40}",
        "([Bb]earer|Basic|realm|scope|[=\", \\\\a]){0,16}",
        "[{}\\[\\]:,\"a0-9.eE\\\\ -]{0,40}",
    ]) {
        let reference = text.parse::<Reference>();
        if let Ok(reference) = &reference {
            prop_assert_eq!(reference.familiar().parse(), Ok(reference.clone()));
        }
        if let Ok(challenges) = Challenge::parse_all(&text) {
            let header: Vec<String> = challenges.iter().map(ToString::to_string).collect();
            prop_assert_eq!(Challenge::parse_all(&header.join(", ")), Ok(challenges));
        }
        if let Ok(scopes) = text.parse::<Scopes>() {
            prop_assert_eq!(scopes.to_string().parse(), Ok(scopes));
        }
        let taken = (
            text.parse::<Digest>().is_ok(),
            text.parse::<RepoName>().is_ok(),
            text.parse::<ManifestReference>().is_ok(),
            text.parse::<Platform>().is_ok(),
            serde_json::from_str::<ErrorBody>(&text).is_ok(),
        );
        prop_assert!(!taken.0 || taken.2);
    }

    #[test]
    fn r14_no_bytes_panic_as_a_manifest_and_what_is_taken_is_kept(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        fields in prop::collection::vec("\"(mediaType|config|layers|manifests|subject|schemaVersion|size|x)\":([12]|null|\"a/b\"|\\[\\]|\\{\\}|\\[\\{\\}\\])", 0..5),
    ) {
        for raw in [Bytes::from(bytes), Bytes::from(format!("{{{}}}", fields.join(",")))] {
            if let Ok(manifest) = Manifest::parse(raw.clone(), Some(&"a/b".into())) {
                prop_assert_eq!(&manifest.raw, &raw);
                let again = Manifest::parse(raw, Some(&manifest.media_type.clone()));
                prop_assert_eq!(again, Ok(manifest));
            }
        }
    }
}
