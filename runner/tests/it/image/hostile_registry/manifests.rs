//! Manifests, indexes, configurations, and where a registry sends its clients.

use serde_json::json;

use super::{
    super::{
        assert_empty, done,
        layout::{Layer, Layout, digest, tar},
        refused,
    },
    refuses,
    server::{MANIFEST, Registry, Reply, Seen, honest},
};
use crate::program::Runner;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn layers() -> Vec<Layer> {
    vec![Layer::gzip(&tar(&[("etc/motd", b"hello\n")]))]
}

/// A registry that has nothing but what `answer` says of manifests.
fn manifests(answer: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Registry {
    let layers = layers();
    Registry::of(&Layout::of(&layers), &layers, move |request| {
        if request.path.contains("/manifests/") { answer(request) } else { None }
    })
}

fn index_of(of: &[u8], media_type: &str) -> Vec<u8> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let entry = json!({
        "mediaType": media_type, "digest": digest(of), "size": of.len(),
        "platform": {"os": "linux", "architecture": architecture},
    });
    serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})).unwrap()
}

#[test]
fn c8_a_manifest_without_end_is_refused_after_4_mib() {
    let registry = manifests(|_| Some(Reply::endless(&[b' '; 1 << 16]).with("Content-Type", MANIFEST)));
    refuses(&registry, 4, "more than 4194304 bytes");
    assert!(registry.sent() < 24 << 20, "{} bytes were taken", registry.sent());
}

#[test]
fn c11_indexes_that_nest_without_end_are_refused() {
    let mut chain = vec![(MANIFEST, Layout::of(&layers()).manifest)];
    for _ in 0..30 {
        let (media_type, below) = chain.last().unwrap();
        chain.push((INDEX, index_of(below, media_type)));
    }
    let registry = manifests(move |request| {
        let last = request.path.rsplit('/').next().unwrap();
        let found = chain.iter().find(|(_, raw)| digest(raw).as_str() == last);
        found.or(chain.last()).map(|(media_type, raw)| Reply::manifest(media_type, raw))
    });
    refuses(&registry, 4, "nested more than 20 deep");
}

#[test]
fn c11_an_index_that_leads_to_itself_is_refused() {
    // It names a digest, and whatever is asked for, it is the answer.
    let index = index_of(b"another", INDEX);
    refuses(&manifests(move |_| Some(Reply::manifest(INDEX, &index))), 4, "sha256:");
}

#[test]
fn a_manifest_under_another_type_than_its_own_is_refused() {
    for media_type in [INDEX, "application/vnd.docker.distribution.manifest.v2+json"] {
        let manifest = Layout::of(&layers()).manifest;
        refuses(&manifests(move |_| Some(Reply::manifest(media_type, &manifest))), 4, "manifest sha256:");
    }
}

#[test]
fn u20_an_image_of_a_hundred_thousand_layers_is_refused_before_a_layer_is_fetched() {
    let layers = layers();
    let entry = json!({"mediaType": layers[0].media_type, "digest": digest(&layers[0].bytes), "size": layers[0].bytes.len()});
    for (count, words) in [(100_000, "more than 4194304 bytes"), (10_001, "10000"), (600, "500 at most")] {
        let entry = entry.clone();
        let layout = Layout::with(
            &layers,
            |config| config["rootfs"]["diff_ids"] = json!(vec![layers[0].diff_id.as_str(); count]),
            |manifest| manifest["layers"] = json!(vec![entry; count]),
        );
        let registry = Registry::of(&layout, &layers, |_| None);
        refuses(&registry, if count == 600 { 1 } else { 4 }, words);
        assert_eq!(registry.fetched(&layers[0].bytes), 0);
    }
}

#[test]
fn a_configuration_of_a_hundred_mebibytes_is_not_fetched_and_one_without_end_is_cut() {
    let layers = layers();
    let layout = Layout::with(&layers, |_| {}, |manifest| manifest["config"]["size"] = (100 << 20).into());
    let registry = Registry::of(&layout, &layers, |_| None);
    refuses(&registry, 4, "its configuration has 104857600 bytes, and 4 MiB are allowed");
    assert_eq!(registry.fetched(&layout.config), 0);

    let layout = Layout::of(&layers);
    let end = format!("/blobs/{}", digest(&layout.config));
    let endless = Registry::of(&layout, &layers, move |request| {
        request.path.ends_with(&end).then(|| Reply::endless(&[b' '; 1 << 16]))
    });
    refuses(&endless, 4, "sha256:");
    assert!(endless.sent() < 24 << 20, "{} bytes were taken", endless.sent());
}

#[test]
fn a_configuration_that_is_none_is_refused() {
    for config in [&b"[]"[..], b"{}", &[b'['; 100_000], br#"{"rootfs":{"diff_ids":["sha256:../../x"]}}"#] {
        let layout = Layout::with(
            &layers(),
            |_| {},
            |manifest| {
                manifest["config"]["digest"] = digest(config).as_str().into();
                manifest["config"]["size"] = config.len().into();
            },
        );
        let lie = Layer { bytes: config.to_vec(), ..layers()[0].clone() };
        refuses(&Registry::of(&layout, &[layers(), vec![lie]].concat(), |_| None), 4, "configuration");
    }
}

#[test]
fn c4_credentials_stay_behind_where_a_redirect_leads_to_another_host() {
    let layers = layers();
    let layout = Layout::of(&layers);
    let blob = layers[0].bytes.clone();
    // A mirror that has nothing but what is at this path: so its address is one that the user named.
    let other = Registry::start("127.0.0.2", move |request| match request.path.as_str() {
        "/kept" => Reply::content(&blob, request),
        _ => Reply::new(404, ""),
    });
    let to = format!("http://{}/kept", other.host());
    let (end, honest) = (format!("/blobs/{}", digest(&layers[0].bytes)), honest(&layout, &layers));
    let registry = Registry::start("127.0.0.1", move |request| match request.header("authorization") {
        None => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) if request.path.ends_with(&end) => Reply::new(307, "").with("Location", &to),
        Some(_) => honest(request),
    });
    let runner = Runner::new();
    let conf = runner.store().with_file_name("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = \"{}\"\ninsecure = true\n[[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n",
        registry.host(),
        other.host()
    );
    std::fs::write(&conf, text).unwrap();
    let mut command = runner.command(&["pull", "--creds", "me:secret", &registry.name()]);
    let output = command.env("CONTAINERS_REGISTRIES_CONF", &conf).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = other.seen();
    assert!(told.iter().any(|seen| seen.path == "/kept"), "{told:?}");
    assert!(told.iter().all(|seen| seen.header("authorization").is_none()), "{told:?}");
    assert!(registry.seen().iter().any(|seen| seen.header("authorization") == Some("Basic bWU6c2VjcmV0")));
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
}

#[test]
fn c2_a_redirect_into_the_machines_own_network_is_refused() {
    let layers = layers();
    let layout = Layout::of(&layers);
    for to in ["http://169.254.169.254/latest/meta-data", "http://127.0.0.2:1/x"] {
        let registry = Registry::of(&layout, &layers, move |request| {
            request.path.contains("/blobs/").then(|| Reply::new(307, "").with("Location", to))
        });
        let runner = Runner::new();
        let error = refused(&runner, 5, &["pull", "--tls-verify=false", &registry.name()]);
        assert!(error.contains("private") || error.contains("local"), "{error}");
        assert_empty(&runner);
    }
}
