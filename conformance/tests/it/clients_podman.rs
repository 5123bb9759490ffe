//! podman and buildah through the registry.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use berth_conformance::clients::{Buildah, Content, Layout, Podman, Registry, new_repository};
use berth_conformance::harness::{require, require_root};
use berth_oci::MediaType;

const PLAIN: &str = "--tls-verify=false";

/// A file system that only this test has, as an archive.
fn archive(podman: &Podman, salt: &str) -> String {
    let layout = Layout::create(podman.scratch().join("made")).unwrap();
    let noise = Content::Noise { seed: 3, size: 1 << 20 };
    let tar = layout.layer(&[("hello", Content::Bytes(salt.as_bytes())), ("noise", noise)]).unwrap();
    layout.path().join("blobs/sha256").join(tar.digest.hex()).display().to_string()
}

/// Imports a file system into podman, pushes it, removes it, pulls it, and compares what podman makes of the two.
fn podman_out_and_back(purpose: &str, flags: &[&str], manifest: &str, layer: &str) {
    let (registry, podman, repository) =
        (Registry::shared().unwrap(), Podman::new().unwrap(), new_repository(purpose));
    let tar = archive(&podman, &repository);
    let image = registry.image(&repository, "latest");
    podman.run(&["import", &tar, &image]).unwrap();
    let layers = || podman.run(&["image", "inspect", "--format={{.RootFS.Layers}} {{.Id}}", &image]).unwrap();
    let before = layers();

    let digest_file = podman.scratch().join("digest");
    let place = format!("--digestfile={}", digest_file.display());
    podman.run(&[&["push", PLAIN, &place], flags, &[&image]].concat()).unwrap();
    let pushed = std::fs::read_to_string(&digest_file).unwrap();
    let held = registry.remote().unwrap().manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!(held.digest.as_str(), pushed);
    assert_eq!((&*held.media_type, held.child_types()), (manifest, vec![layer]));

    podman.run(&["rmi", "--force", &image]).unwrap();
    podman.run(&["pull", PLAIN, &image]).unwrap();
    assert_eq!(layers().split_whitespace().next(), before.split_whitespace().next());
    let digest = podman.run(&["image", "inspect", "--format={{.Digest}}", &image]).unwrap();
    assert_eq!(digest, pushed);
}

#[test]
fn podman_pushes_and_pulls_an_oci_image() {
    if require_root() && require(Podman::TOOLS) {
        podman_out_and_back("oci", &["--format=oci"], MediaType::OCI_MANIFEST, MediaType::OCI_LAYER_GZIP);
    }
}

#[test]
fn podman_pushes_and_pulls_schema_2() {
    if require_root() && require(Podman::TOOLS) {
        podman_out_and_back(
            "v2s2",
            &["--format=v2s2"],
            MediaType::DOCKER_MANIFEST,
            MediaType::DOCKER_LAYER_GZIP,
        );
    }
}

#[test]
fn podman_pushes_and_pulls_zstd_layers() {
    if require_root() && require(Podman::TOOLS) {
        let flags = ["--format=oci", "--compression-format=zstd"];
        podman_out_and_back("zstd", &flags, MediaType::OCI_MANIFEST, MediaType::OCI_LAYER_ZSTD);
    }
}

#[test]
fn podman_pushes_to_a_second_repository_what_the_registry_already_holds() {
    if !require_root() || !require(Podman::TOOLS) {
        return;
    }
    let (registry, podman) = (Registry::shared().unwrap(), Podman::new().unwrap());
    let (first, second) = (new_repository("first"), new_repository("second"));
    let id = podman.run(&["import", "--quiet", &archive(&podman, &first)]).unwrap();
    let remote = registry.remote().unwrap();
    let mut digests = Vec::new();
    for repository in [&first, &second] {
        let image = format!("docker://{}", registry.image(repository, "latest"));
        podman.run(&["push", PLAIN, &id, &image]).unwrap();
        let held = remote.manifest(repository, "latest").unwrap().unwrap();
        for layer in held.child_digests() {
            assert_eq!(remote.blob_status(repository, layer).unwrap(), 200);
        }
        digests.push(held.digest);
    }
    assert_eq!(digests[0], digests[1]);
}

/// Builds one image a platform, pushes them as one list, and pulls the platform that is not this machine's.
fn buildah_list_out_and_back(format: &str, list: &str, child: &str) {
    let (registry, buildah) = (Registry::shared().unwrap(), Buildah::new().unwrap());
    let (repository, policy) = (new_repository("buildah"), buildah.policy().unwrap());
    let image = registry.image(&repository, "latest");
    buildah.run(&["manifest", "create", "all"]).unwrap();
    for architecture in ["amd64", "s390x"] {
        let content = buildah.scratch().write(architecture, format!("{architecture} {repository}")).unwrap();
        let container = buildah.run(&["from", "scratch"]).unwrap();
        buildah.run(&["copy", &container, &content.display().to_string(), "/hello"]).unwrap();
        buildah.run(&["config", "--os=linux", &format!("--arch={architecture}"), &container]).unwrap();
        let name = format!("localhost/{architecture}:latest");
        let commit = ["commit", &policy, &format!("--format={format}"), "--manifest=all", &container, &name];
        buildah.run(&commit).unwrap();
    }
    let format = if format == "docker" { "v2s2" } else { format };
    let push = ["manifest", "push", PLAIN, &policy, "--all", &format!("--format={format}"), "all"];
    buildah.run(&[&push[..], &[&format!("docker://{image}")]].concat()).unwrap();

    let remote = registry.remote().unwrap();
    let held = remote.manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!((&*held.media_type, held.child_types()), (list, vec![child; 2]));
    for digest in held.child_digests() {
        assert_eq!(remote.manifest(&repository, digest).unwrap().unwrap().digest.as_str(), digest);
    }
    let id = buildah.run(&["pull", PLAIN, &policy, "--arch=s390x", &image]).unwrap();
    let inspect = ["inspect", "--type=image", "--format={{.OCIv1.Architecture}} {{.FromImageDigest}}", &id];
    let found = buildah.run(&inspect).unwrap();
    let (architecture, digest) = found.split_once(' ').unwrap();
    assert_eq!(architecture, "s390x");
    let known = held.child_digests().contains(&digest) || digest == held.digest.as_str();
    assert!(known, "{digest} is neither the list nor one of its images");
}

#[test]
fn buildah_pushes_an_oci_index_and_pulls_one_platform_of_it() {
    if require_root() && require(Buildah::TOOLS) {
        buildah_list_out_and_back("oci", MediaType::OCI_INDEX, MediaType::OCI_MANIFEST);
    }
}

#[test]
fn buildah_pushes_a_docker_manifest_list_and_pulls_one_platform_of_it() {
    if require_root() && require(Buildah::TOOLS) {
        buildah_list_out_and_back("docker", MediaType::DOCKER_LIST, MediaType::DOCKER_MANIFEST);
    }
}
