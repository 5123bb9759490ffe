//! Docker through the registry, with a daemon of the tests' own.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::sync::Arc;

use berth_conformance::clients::{Content, Layout, Registry, new_repository};
use berth_conformance::harness::{Dockerd, Result, Scratch, require, require_root};
use berth_oci::MediaType;

/// What a test here works with, or nothing where it cannot run.
struct Bench {
    registry: Arc<Registry>,
    dockerd: Arc<Dockerd>,
    scratch: Scratch,
}

impl Bench {
    fn new() -> Option<Self> {
        if !require_root() || !require(Dockerd::TOOLS) {
            return None;
        }
        let (registry, dockerd) = (Registry::shared().unwrap(), Dockerd::shared().unwrap());
        Some(Self { registry, dockerd, scratch: Scratch::new("docker").unwrap() })
    }

    fn docker(&self, words: &[&str]) -> Result<String> {
        Ok(self.dockerd.docker()?.args(words).run()?.trim().to_owned())
    }

    /// Makes an image of one layer under this name.
    fn import(&self, salt: &str, image: &str) {
        let layout = Layout::create(self.scratch.join(salt)).unwrap();
        let noise = Content::Noise { seed: 5, size: 1 << 20 };
        let layer = layout.layer(&[("hello", Content::Bytes(salt.as_bytes())), ("noise", noise)]).unwrap();
        let tar = layout.path().join("blobs/sha256").join(layer.digest.hex());
        self.docker(&["import", &tar.display().to_string(), image]).unwrap();
    }

    fn layers(&self, image: &str) -> String {
        self.docker(&["image", "inspect", "--format={{.Architecture}} {{.RootFS.Layers}}", image]).unwrap()
    }
}

#[test]
fn docker_pushes_an_image_and_pulls_it_with_the_same_digest_and_layers() {
    let Some(bench) = Bench::new() else { return };
    let repository = new_repository("docker");
    let image = bench.registry.image(&repository, "latest");
    bench.import(&repository, &image);
    let before = bench.layers(&image);
    let said = bench.docker(&["push", &image]).unwrap();
    let held = bench.registry.remote().unwrap().manifest(&repository, "latest").unwrap().unwrap();
    assert!(said.contains(held.digest.as_str()), "{said}");
    assert_eq!(held.media_type, MediaType::DOCKER_MANIFEST);

    bench.docker(&["rmi", &image]).unwrap();
    bench.docker(&["pull", &image]).unwrap();
    assert_eq!(bench.layers(&image), before);
    let digests = bench.docker(&["image", "inspect", "--format={{.RepoDigests}}", &image]).unwrap();
    assert!(digests.contains(held.digest.as_str()), "{digests}");

    let by_digest = format!("{}/{repository}@{}", bench.registry.host(), held.digest);
    bench.docker(&["rmi", &image]).unwrap();
    bench.docker(&["pull", &by_digest]).unwrap();
    assert_eq!(bench.layers(&by_digest), before);
}

#[test]
fn docker_mounts_layers_from_a_repository_it_pushed_to_before() {
    let Some(bench) = Bench::new() else { return };
    let (first, second) = (new_repository("docker-first"), new_repository("docker-second"));
    let (one, two) = (bench.registry.image(&first, "latest"), bench.registry.image(&second, "latest"));
    bench.import(&first, &one);
    bench.docker(&["push", &one]).unwrap();
    bench.docker(&["tag", &one, &two]).unwrap();
    let said = bench.docker(&["push", &two]).unwrap();
    assert!(said.contains(&format!("Mounted from {first}")), "{said}");
    let remote = bench.registry.remote().unwrap();
    let (a, b) = (remote.manifest(&first, "latest").unwrap(), remote.manifest(&second, "latest").unwrap());
    assert_eq!(a.unwrap().digest, b.unwrap().digest);
}

#[test]
fn docker_pushes_a_manifest_list_and_pulls_one_platform_of_it() {
    let Some(bench) = Bench::new() else { return };
    let repository = new_repository("docker-list");
    let list = bench.registry.image(&repository, "latest");
    let mut images = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let image = bench.registry.image(&repository, architecture);
        bench.import(&format!("{repository}-{architecture}"), &image);
        bench.docker(&["push", &image]).unwrap();
        images.push(image);
    }
    bench.docker(&["manifest", "create", "--insecure", &list, &images[0], &images[1]]).unwrap();
    // `import` knows no foreign architecture, so that the list says what each image is for.
    bench.docker(&["manifest", "annotate", "--arch=arm64", &list, &images[1]]).unwrap();
    let pushed = bench.docker(&["manifest", "push", "--insecure", &list]).unwrap();
    let held = bench.registry.remote().unwrap().manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!(pushed.lines().last(), Some(held.digest.as_str()));
    assert_eq!(held.media_type, MediaType::DOCKER_LIST);
    assert_eq!(held.child_types(), [MediaType::DOCKER_MANIFEST; 2]);

    let arm = bench.layers(&images[1]);
    bench.docker(&["rmi", &images[0], &images[1]]).unwrap();
    bench.docker(&["pull", "--platform=linux/arm64", &list]).unwrap();
    assert_eq!(bench.layers(&list), arm);
}

#[test]
fn docker_says_not_found_for_a_tag_that_was_never_pushed() {
    let Some(bench) = Bench::new() else { return };
    let image = bench.registry.image(&new_repository("docker-absent"), "latest");
    let error = bench.docker(&["pull", &image]).unwrap_err().to_string();
    assert!(error.contains("manifest unknown") || error.contains("not found"), "{error}");
}
