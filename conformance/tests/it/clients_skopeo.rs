//! skopeo and umoci through the registry.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use berth_conformance::clients::{Layout, Registry, Skopeo, digest_of, new_repository};
use berth_conformance::harness::{Tool, require};
use berth_oci::MediaType;

/// Pushes a layout with its digests kept, pulls it into a second one, and compares every blob of the two.
pub(crate) fn out_and_back(registry: &Registry, index: bool) {
    let (skopeo, repository) = (Skopeo::new().unwrap(), new_repository("skopeo"));
    let from = skopeo.scratch().join("from");
    let made =
        if index { Layout::small_index(&from, &repository) } else { Layout::small_image(&from, &repository) };
    let (layout, digest) = made.unwrap();
    let remote_name = format!("docker://{}", registry.image(&repository, "latest"));
    let flags = ["--all", "--preserve-digests"];
    skopeo.copy(&flags, &format!("oci:{}:latest", from.display()), &remote_name).unwrap();

    let held = registry.remote().unwrap().manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!(held.digest, digest);
    let media_type = if index { MediaType::OCI_INDEX } else { MediaType::OCI_MANIFEST };
    assert_eq!(held.media_type, media_type);

    let to = skopeo.scratch().join("to");
    skopeo.copy(&flags, &remote_name, &format!("oci:{}:latest", to.display())).unwrap();
    let back = Layout::open(&to);
    assert_eq!(back.only().unwrap(), digest);
    assert_eq!(back.contents().unwrap(), layout.contents().unwrap());
}

#[test]
fn skopeo_copies_an_oci_image_out_and_back_with_the_same_digests() {
    if require(Skopeo::TOOLS) {
        out_and_back(&Registry::shared().unwrap(), false);
    }
}

#[test]
fn skopeo_copies_an_index_of_two_platforms_out_and_back_with_the_same_digests() {
    if require(Skopeo::TOOLS) {
        out_and_back(&Registry::shared().unwrap(), true);
    }
}

#[test]
fn skopeo_copies_images_and_indexes_through_postgresql_and_s3() {
    if require(Skopeo::TOOLS) && require(super::OUTSIDE_TOOLS) {
        let registry = Registry::shared_outside().unwrap();
        out_and_back(&registry, false);
        out_and_back(&registry, true);
    }
}

#[test]
fn skopeo_converts_to_schema_2_and_gets_back_what_it_sent() {
    if !require(Skopeo::TOOLS) {
        return;
    }
    let (registry, skopeo, repository) =
        (Registry::shared().unwrap(), Skopeo::new().unwrap(), new_repository("v2s2"));
    let from = skopeo.scratch().join("from");
    Layout::small_image(&from, &repository).unwrap();
    let name = format!("docker://{}", registry.image(&repository, "latest"));
    skopeo.copy(&["--format=v2s2"], &format!("oci:{}:latest", from.display()), &name).unwrap();
    let held = registry.remote().unwrap().manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!(held.media_type, MediaType::DOCKER_MANIFEST);
    assert_eq!(held.child_types(), [MediaType::DOCKER_LAYER_GZIP; 2]);
    let raw = skopeo.command("inspect").unwrap().args(["--tls-verify=false", "--raw", &name]).run().unwrap();
    assert_eq!(digest_of(raw.as_bytes()), held.digest);
    let to = skopeo.scratch().join("to");
    skopeo.copy(&["--preserve-digests"], &name, &format!("dir:{}", to.display())).unwrap();
    assert_eq!(std::fs::read_to_string(to.join("manifest.json")).unwrap(), raw);
}

#[test]
fn skopeo_converts_an_index_to_a_docker_manifest_list() {
    if !require(Skopeo::TOOLS) {
        return;
    }
    let (registry, skopeo, repository) =
        (Registry::shared().unwrap(), Skopeo::new().unwrap(), new_repository("list"));
    let from = skopeo.scratch().join("from");
    Layout::small_index(&from, &repository).unwrap();
    let name = format!("docker://{}", registry.image(&repository, "latest"));
    skopeo.copy(&["--all", "--format=v2s2"], &format!("oci:{}:latest", from.display()), &name).unwrap();
    let remote = registry.remote().unwrap();
    let held = remote.manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!(held.media_type, MediaType::DOCKER_LIST);
    assert_eq!(held.child_types(), [MediaType::DOCKER_MANIFEST; 2]);
    for child in held.child_digests() {
        assert_eq!(remote.manifest(&repository, child).unwrap().unwrap().digest.as_str(), child);
    }
    let to = skopeo.scratch().join("to");
    skopeo.copy(&["--override-arch=arm64"], &name, &format!("dir:{}", to.display())).unwrap();
    assert!(to.join("manifest.json").is_file());
}

#[test]
fn skopeo_pushes_zstd_layers_and_gets_them_back() {
    if !require(Skopeo::TOOLS) {
        return;
    }
    let (registry, skopeo, repository) =
        (Registry::shared().unwrap(), Skopeo::new().unwrap(), new_repository("zstd"));
    let from = skopeo.scratch().join("from");
    let (layout, _) = Layout::small_image(&from, &repository).unwrap();
    let name = format!("docker://{}", registry.image(&repository, "latest"));
    let flags = ["--format=oci", "--dest-compress-format=zstd"];
    skopeo.copy(&flags, &format!("oci:{}:latest", from.display()), &name).unwrap();
    let held = registry.remote().unwrap().manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!(held.child_types(), [MediaType::OCI_LAYER_ZSTD; 2]);
    // Unpacked on the way back, the layers must be the very ones that were made.
    let to = skopeo.scratch().join("to");
    skopeo.copy(&["--dest-decompress"], &name, &format!("dir:{}", to.display())).unwrap();
    let (manifest, configuration_and_layers) = (to.join("manifest.json"), layout.contents().unwrap());
    let back = std::fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().path());
    let back: Vec<_> =
        back.filter(|path| *path != manifest).map(|path| digest_of(&std::fs::read(path).unwrap())).collect();
    let same = configuration_and_layers.iter().filter(|digest| back.contains(digest)).count();
    assert_eq!(same, 3, "two layers and the configuration");
}

#[test]
fn skopeo_lists_tags_and_deletes_an_image() {
    if !require(Skopeo::TOOLS) {
        return;
    }
    let (registry, skopeo, repository) =
        (Registry::shared().unwrap(), Skopeo::new().unwrap(), new_repository("tags"));
    for tag in ["one", "two"] {
        let from = skopeo.scratch().join(tag);
        Layout::small_image(&from, &format!("{repository}{tag}")).unwrap();
        let name = format!("docker://{}", registry.image(&repository, tag));
        skopeo.copy(&[], &format!("oci:{}:latest", from.display()), &name).unwrap();
    }
    let list = || {
        let name = format!("docker://{}/{repository}", registry.host());
        let text = skopeo.command("list-tags").unwrap().args(["--tls-verify=false", &name]).run().unwrap();
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        list["Tags"].clone()
    };
    assert_eq!(list(), serde_json::json!(["one", "two"]));
    let name = format!("docker://{}", registry.image(&repository, "one"));
    skopeo.command("delete").unwrap().args(["--tls-verify=false", &name]).run().unwrap();
    assert_eq!(list(), serde_json::json!(["two"]));
    assert!(registry.remote().unwrap().manifest(&repository, "one").unwrap().is_none());
}

#[test]
fn umoci_unpacks_from_a_pulled_image_what_it_packed_before_the_push() {
    if !require(Skopeo::TOOLS) || !require(&["umoci"]) {
        return;
    }
    let (registry, skopeo, repository) =
        (Registry::shared().unwrap(), Skopeo::new().unwrap(), new_repository("umoci"));
    let scratch = skopeo.scratch();
    let umoci = |words: &[&str]| Tool::new("umoci").unwrap().args(words).run().unwrap();
    let place = |name: &str| scratch.join(name).display().to_string();
    let content = scratch.write("content", &repository).unwrap();
    umoci(&["init", "--layout", &place("from")]);
    let image = format!("{}:latest", place("from"));
    umoci(&["new", "--image", &image]);
    umoci(&["insert", "--rootless", "--image", &image, &content.display().to_string(), "/etc/content"]);
    umoci(&["config", "--image", &image, "--config.cmd", "/hello", "--author", "the tests"]);
    umoci(&["gc", "--layout", &place("from")]);

    let name = format!("docker://{}", registry.image(&repository, "latest"));
    skopeo.copy(&["--preserve-digests"], &format!("oci:{image}"), &name).unwrap();
    skopeo.copy(&["--preserve-digests"], &name, &format!("oci:{}:latest", place("to"))).unwrap();
    let (from, to) = (Layout::open(place("from")), Layout::open(place("to")));
    assert_eq!(from.contents().unwrap(), to.contents().unwrap());
    umoci(&["unpack", "--rootless", "--image", &format!("{}:latest", place("to")), &place("bundle")]);
    assert_eq!(std::fs::read_to_string(scratch.join("bundle/rootfs/etc/content")).unwrap(), repository);
}
