use serde_json::{Value, json};

use super::*;
use crate::{Algorithm, Digest, DigestError};

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Bytes::copy_from_slice(text.as_bytes()), None)
}

fn parse_as(text: &str, content_type: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Bytes::copy_from_slice(text.as_bytes()), Some(&content_type.into()))
}

fn descriptor(kind: &str, content: &str) -> Value {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    json!({"mediaType": kind, "digest": digest, "size": content.len()})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor(MediaType::OCI_CONFIG, "{}"),
        "layers": [descriptor(MediaType::OCI_LAYER_GZIP, "one"), descriptor(MediaType::OCI_LAYER_ZSTD, "two")],
    })
}

fn index() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [descriptor(MediaType::OCI_MANIFEST, "child")],
    })
}

/// `base` with the fields of `changes` in place of its own; a JSON null takes a field away.
fn with(mut base: Value, changes: Value) -> String {
    let fields = base.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            fields.remove(key);
        } else {
            fields.insert(key.clone(), value.clone());
        }
    }
    base.to_string()
}

#[test]
fn an_image_and_an_index_give_their_descriptors_and_keep_their_bytes() {
    let text = with(image(), json!({"annotations": {"a": "b"}, "org.example.unknown": [1.5e3, {"x": null}]}));
    let manifest = parse_as(&text, MediaType::OCI_MANIFEST).unwrap();
    assert_eq!(manifest.raw, text.as_bytes());
    assert_eq!(manifest.kind, Kind::Image);
    assert_eq!(manifest.config.unwrap().media_type.as_str(), MediaType::OCI_CONFIG);
    assert_eq!(manifest.layers[1].digest, Digest::of(Algorithm::Sha256, b"two"));
    assert_eq!(manifest.layers[1].size, 3);
    assert_eq!(manifest.annotations["a"], "b");

    let child = json!([{
        "mediaType": MediaType::OCI_MANIFEST, "size": 0, "digest": Digest::of(Algorithm::Sha512, b""),
        "urls": ["https://example.org/x"], "annotations": {"k": "v"}, "artifactType": "a/b", "data": "",
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "1",
                     "os.features": ["f"], "features": ["sse4"]},
    }]);
    let manifest = parse(&with(index(), json!({"manifests": child}))).unwrap();
    assert_eq!(manifest.kind, Kind::Index);
    let child = &manifest.manifests[0];
    assert_eq!(child.platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
    assert_eq!(child.platform.as_ref().unwrap().os_features, ["f"]);
    assert_eq!(child.urls, ["https://example.org/x"]);
    assert_eq!(child.data.as_deref(), Some(&[][..]));
}

#[test]
fn every_data_set_of_artifacts_is_taken() {
    let empty = json!({"mediaType": MediaType::OCI_EMPTY, "size": 2, "data": "e30=",
                       "digest": Digest::of(Algorithm::Sha256, b"{}")});
    for text in [
        with(image(), json!({"layers": []})),
        with(image(), json!({"config": empty, "artifactType": "application/vnd.example", "layers": [empty]})),
        with(image(), json!({"subject": descriptor(MediaType::OCI_MANIFEST, "not there")})),
        with(image(), json!({"layers": [descriptor("application/vnd.example.any", "")]})),
        with(index(), json!({"manifests": []})),
        with(index(), json!({"manifests": [descriptor(MediaType::OCI_INDEX, "nested")]})),
        with(image(), json!({"mediaType": MediaType::DOCKER_MANIFEST})),
        with(index(), json!({"mediaType": MediaType::DOCKER_LIST})),
    ] {
        parse(&text).unwrap();
    }
    // As Go writes a nil list, map and pointer.
    let text = with(image(), json!({})).replacen('{', r#"{"annotations":null,"subject":null,"#, 1);
    parse(&text).unwrap();
    let layers = image()["layers"].to_string();
    assert!(parse(&image().to_string().replace(&layers, "null")).unwrap().layers.is_empty());
}

#[test]
fn the_type_comes_from_the_field_then_the_header_then_the_shape() {
    let untyped = with(image(), json!({"mediaType": null}));
    assert_eq!(parse(&untyped).unwrap().media_type.as_str(), MediaType::OCI_MANIFEST);
    let docker = parse_as(&untyped, MediaType::DOCKER_MANIFEST).unwrap();
    assert_eq!(docker.media_type.as_str(), MediaType::DOCKER_MANIFEST);
    let untyped = with(index(), json!({"mediaType": ""}));
    assert_eq!(parse(&untyped).unwrap().media_type.as_str(), MediaType::OCI_INDEX);
    assert_eq!(parse("{}"), Err(ManifestError::NoMediaType));
}

#[test]
fn unknown_types_are_taken_and_what_can_be_followed_in_them_is_followed() {
    let kind = "application/vnd.example.thing+json";
    let subject = descriptor(MediaType::OCI_MANIFEST, "s");
    let other = json!({"subject": subject, "annotations": {"a": "b"}, "artifactType": "x/y"}).to_string();
    let other = parse_as(&other, kind).unwrap();
    assert_eq!((other.kind, other.subject.unwrap().size), (Kind::Other, 1));
    assert_eq!(other.annotations["a"], "b");

    let odd = r#"{"subject": "me", "annotations": [1], "artifactType": {}, "schemaVersion": "1"}"#;
    let odd = parse_as(odd, kind).unwrap();
    assert_eq!((odd.kind, odd.subject, odd.artifact_type), (Kind::Other, None, None));

    assert_eq!(parse_as(&with(image(), json!({"mediaType": kind})), kind).unwrap().kind, Kind::Image);
    let versioned = parse_as(r#"{"schemaVersion": 1}"#, kind).unwrap();
    assert_eq!(versioned.kind, Kind::Other);
}

#[test]
fn the_referrers_type_is_the_artifacts_or_else_the_configurations() {
    let of = |text: &str| parse(text).unwrap().referrer_type().map(|kind| kind.as_str().to_owned());
    assert_eq!(of(&with(image(), json!({}))).as_deref(), Some(MediaType::OCI_CONFIG));
    assert_eq!(of(&with(image(), json!({"artifactType": ""}))).as_deref(), Some(MediaType::OCI_CONFIG));
    assert_eq!(of(&with(image(), json!({"artifactType": "a/b"}))).as_deref(), Some("a/b"));
    assert_eq!(of(&with(index(), json!({"artifactType": "a/b"}))).as_deref(), Some("a/b"));
    assert_eq!(of(&with(index(), json!({}))), None);
}

#[test]
fn r14_fields_of_both_kinds_are_refused() {
    for text in [
        with(image(), json!({"manifests": []})),
        with(index(), json!({"layers": []})),
        with(index(), json!({"config": descriptor(MediaType::OCI_CONFIG, "{}")})),
        with(image(), json!({"manifests": [], "mediaType": null})),
        with(image(), json!({"manifests": [], "mediaType": "application/vnd.example"})),
        with(index(), json!({"mediaType": MediaType::OCI_MANIFEST})),
        with(image(), json!({"mediaType": MediaType::OCI_INDEX})),
    ] {
        assert!(matches!(parse(&text), Err(ManifestError::Ambiguous { .. })), "{text}");
    }
}

#[test]
fn r14_equal_keys_are_refused_at_any_depth() {
    let good = image().to_string();
    let twice = good.replacen('{', r#"{"layers":[],"#, 1);
    assert_eq!(parse(&twice), Err(ManifestError::DuplicateKey { path: "layers".into() }));
    for (inside, path) in [
        (r#"{"a":{"b":[0,{"c":1,"c":1}]}}"#, "x.a.b[1].c"),
        (r#"{"a":1,"\u0061":1}"#, "x.a"),
        (r#"{"a b":1,"a b":1}"#, r#"x["a b"]"#),
    ] {
        let text = good.replacen('{', &format!(r#"{{"x":{inside},"#), 1);
        assert_eq!(parse(&text), Err(ManifestError::DuplicateKey { path: path.into() }));
    }
}

#[test]
fn r14_keys_that_differ_from_known_ones_in_case_are_refused() {
    let text = with(image(), json!({"Manifests": []}));
    let error = ManifestError::KeyCase { path: "Manifests".into(), proper: "manifests" };
    assert_eq!(parse(&text), Err(error));
    let mut twisted = image();
    twisted["layers"][1]["Digest"] = json!("sha256:0");
    let error = ManifestError::KeyCase { path: "layers[1].Digest".into(), proper: "digest" };
    assert_eq!(parse(&twisted.to_string()), Err(error));
}

#[test]
fn r14_a_header_that_differs_from_the_field_is_refused() {
    let error = parse_as(&image().to_string(), MediaType::OCI_INDEX).unwrap_err();
    assert!(matches!(error, ManifestError::MediaTypeMismatch { .. }));
    let with_parameters = "application/vnd.oci.image.manifest.v1+json; charset=utf-8";
    assert!(parse_as(&image().to_string(), with_parameters).is_ok());
}

#[test]
fn r14_bytes_that_are_not_utf_8_or_not_json_are_refused() {
    let mut bytes = image().to_string().into_bytes();
    bytes[10] = 0xff;
    assert_eq!(Manifest::parse(bytes.into(), None), Err(ManifestError::Encoding { at: 10 }));
    for text in
        ["", "{", "[]x", "{\"a\":1,}", "nul", "{\"a\":01}", "{\"a\":\"\\ud800\"}", "{} {}", "\u{feff}{}"]
    {
        assert!(
            matches!(parse(text), Err(ManifestError::Syntax { .. } | ManifestError::Type { .. })),
            "{text}"
        );
    }
}

#[test]
fn r14_json_is_128_deep_and_no_deeper() {
    let nest = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        image().to_string().replacen('{', &format!(r#"{{"x":{open}{close},"#), 1)
    };
    assert!(parse(&nest(128)).is_ok());
    assert!(matches!(parse(&nest(129)), Err(ManifestError::Depth { .. })));
    assert!(matches!(parse(&nest(1_000_000)), Err(ManifestError::Depth { .. })));
}

#[test]
fn r15_bad_digests_and_sizes_are_named_by_their_field() {
    let change = |field: &str, value: &str| {
        let mut text = image();
        text["layers"][1][field] = json!("HERE");
        parse(&text.to_string().replace(r#""HERE""#, value)).unwrap_err()
    };
    for (value, fault) in [
        (r#""../x""#, DigestError::Form),
        (r#""sha256:../../x""#, DigestError::Hash),
        (r#""md5:d41d8cd98f00b204e9800998ecf8427e""#, DigestError::Algorithm),
    ] {
        let error = change("digest", value);
        assert_eq!(error, ManifestError::Digest { path: "layers[1].digest".into(), fault });
    }
    for value in
        ["-1", "-0", "1.0", "1e3", "9223372036854775808", "1e999", "18446744073709551616", r#""3""#, "[]"]
    {
        assert_eq!(change("size", value), ManifestError::Size { path: "layers[1].size".into() }, "{value}");
    }
    let mut text = image();
    text["layers"][1]["size"] = json!(i64::MAX);
    assert_eq!(parse(&text.to_string()).unwrap().layers[1].size, i64::MAX as u64);
}

#[test]
fn r15_descriptors_lack_nothing_and_have_the_right_types() {
    for field in ["mediaType", "digest", "size"] {
        let mut text = image();
        text["config"].as_object_mut().unwrap().remove(field);
        let error = parse(&text.to_string()).unwrap_err();
        assert!(matches!(&error, ManifestError::Missing { path, .. } if *path == format!("config.{field}")));
    }
    let mut text = image();
    text["config"]["mediaType"] = json!("a\r\nb");
    assert_eq!(parse(&text.to_string()), Err(ManifestError::MediaType { path: "config.mediaType".into() }));
    text["config"] = json!("none");
    assert!(matches!(parse(&text.to_string()), Err(ManifestError::Type { .. })));
}

#[test]
fn embedded_data_must_be_the_content() {
    let fault = |data: &str, size: usize| {
        let mut text = image();
        text["config"]["data"] = json!(data);
        text["config"]["size"] = json!(size);
        match parse(&text.to_string()) {
            Ok(_) => None,
            Err(ManifestError::Data { path, fault }) if path == "config.data" => Some(fault),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(fault("e30=", 2), None);
    assert_eq!(fault("e30", 2), Some(DataFault::Encoding));
    assert_eq!(fault("e30=", 3), Some(DataFault::Size));
    assert_eq!(fault("e31=", 2), Some(DataFault::Encoding));
    assert_eq!(fault("e3s=", 2), Some(DataFault::Digest));
}

#[test]
fn r17_a_list_has_10_000_descriptors_and_no_more() {
    let entry = descriptor(MediaType::OCI_MANIFEST, "child").to_string();
    let list = |count: usize| {
        let entries = vec![entry.as_str(); count].join(",");
        let template = with(index(), json!({"manifests": "HERE"}));
        template.replace(r#""HERE""#, &format!("[{entries}]"))
    };
    assert_eq!(parse(&list(MAX_DESCRIPTORS)).unwrap().manifests.len(), MAX_DESCRIPTORS);
    let error = ManifestError::TooManyDescriptors { path: "manifests".into() };
    assert_eq!(parse(&list(MAX_DESCRIPTORS + 1)), Err(error));
}

#[test]
fn r17_the_configuration_counts_among_the_descriptors() {
    let entry = descriptor(MediaType::OCI_LAYER, "layer").to_string();
    let image = |count: usize| {
        let entries = vec![entry.as_str(); count].join(",");
        with(image(), json!({"layers": "HERE"})).replace(r#""HERE""#, &format!("[{entries}]"))
    };
    assert!(parse(&image(MAX_DESCRIPTORS - 1)).is_ok());
    assert!(matches!(parse(&image(MAX_DESCRIPTORS)), Err(ManifestError::TooManyDescriptors { .. })));
}

#[test]
fn schema_1_is_refused_with_a_way_out() {
    let signed = r#"{"schemaVersion": 1, "name": "a", "fsLayers": [], "history": [], "signatures": []}"#;
    for error in [
        parse(signed),
        parse_as(signed, MediaType::DOCKER_SCHEMA1_SIGNED),
        parse_as(signed, "application/json"),
        parse_as("{}", MediaType::DOCKER_SCHEMA1),
        parse(&with(image(), json!({"schemaVersion": 1}))),
    ] {
        assert_eq!(error, Err(ManifestError::Schema1));
    }
    assert!(ManifestError::Schema1.to_string().contains("skopeo copy --format v2s2"));
}

#[test]
fn known_types_say_version_2_and_lack_nothing() {
    for (base, field) in [
        (image(), "schemaVersion"),
        (image(), "config"),
        (image(), "layers"),
        (index(), "schemaVersion"),
        (index(), "manifests"),
    ] {
        let error = parse(&with(base, json!({field: null}))).unwrap_err();
        assert!(matches!(&error, ManifestError::Missing { path, .. } if path == field), "{error}");
    }
    let error = parse(&with(index(), json!({"schemaVersion": 3}))).unwrap_err();
    assert!(matches!(error, ManifestError::SchemaVersion { found: 3, .. }));
    let error = parse(&with(image(), json!({"schemaVersion": "2"}))).unwrap_err();
    assert_eq!(error.to_string(), "schemaVersion has to be a number");
    for field in ["subject", "annotations", "artifactType"] {
        assert!(parse(&with(image(), json!({field: 7}))).is_err(), "{field}");
    }
}

#[test]
fn r13_a_manifest_of_4_mib_is_taken_and_one_byte_more_is_not() {
    let pad = |size: usize| {
        let text = image().to_string();
        let blanks = " ".repeat(size - text.len());
        text + &blanks
    };
    assert!(parse(&pad(MAX_MANIFEST_BYTES)).is_ok());
    let error = ManifestError::TooLarge { size: MAX_MANIFEST_BYTES + 1 };
    assert_eq!(parse(&pad(MAX_MANIFEST_BYTES + 1)), Err(error));
}

#[test]
fn a_referrers_index_has_stable_bytes_and_parses() {
    let mut entry = Descriptor::new(MediaType::OCI_MANIFEST.into(), Digest::of(Algorithm::Sha256, b"m"), 1);
    entry.artifact_type = Some("a/b".into());
    entry.annotations = [("b", "2"), ("a", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let bytes = referrers_index([entry.clone()].into_iter());
    let expected = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{}","size":1,"annotations":{{"a":"1","b":"2"}},"artifactType":"a/b"}}]}}"#,
        MediaType::OCI_INDEX,
        MediaType::OCI_MANIFEST,
        entry.digest
    );
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
    let parsed = Manifest::parse(bytes.into(), Some(&MediaType::OCI_INDEX.into())).unwrap();
    assert_eq!(parsed.manifests, [entry]);
    let none = Manifest::parse(referrers_index(std::iter::empty()).into(), None).unwrap();
    assert_eq!((none.kind, none.manifests.len()), (Kind::Index, 0));
}

#[test]
fn what_an_error_quotes_is_escaped_and_short() {
    let key = format!("\u{1b}[31m{}", "k".repeat(1000));
    let text = serde_json::to_string(&json!({ &key: 1 })).unwrap();
    let text = text.replacen('{', &format!("{{{}:1,", serde_json::to_string(&key).unwrap()), 1);
    let shown = parse(&text).unwrap_err().to_string();
    assert!(shown.starts_with(r#"["\u{1b}[31mkkk"#) && shown.len() < 200, "{shown}");
}
