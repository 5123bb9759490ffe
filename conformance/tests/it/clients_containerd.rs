//! containerd through the registry, by its `ctr`.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use berth_conformance::clients::{Layout, Registry, Skopeo, new_repository};
use berth_conformance::harness::{Containerd, require, require_root};

/// Imports a layout, pushes it, removes every trace of it, pulls it, and exports it again.
fn out_and_back(index: bool) {
    let (registry, skopeo, containerd) =
        (Registry::shared().unwrap(), Skopeo::new().unwrap(), Containerd::start().unwrap());
    let repository = new_repository("ctr");
    let (scratch, image) = (skopeo.scratch(), registry.image(&repository, "latest"));
    let from = scratch.join("from");
    let made =
        if index { Layout::small_index(&from, &repository) } else { Layout::small_image(&from, &repository) };
    let (layout, digest) = made.unwrap();
    let ctr = |words: &[&str]| containerd.ctr().unwrap().args(words).run().unwrap();
    let archive = |name: &str| scratch.join(name).display().to_string();
    let flags = ["--all", "--preserve-digests"];
    let tar = format!("oci-archive:{}:latest", archive("from.tar"));
    skopeo.copy(&flags, &format!("oci:{}:latest", from.display()), &tar).unwrap();

    // Without a base name the image would be called after the day of its import.
    let base = image.strip_suffix(":latest").unwrap();
    let import =
        ["images", "import", "--all-platforms", "--no-unpack", "--base-name", base, &archive("from.tar")];
    ctr(&import);
    ctr(&["images", "push", "--plain-http", &image]);
    let held = registry.remote().unwrap().manifest(&repository, "latest").unwrap().unwrap();
    assert_eq!(held.digest, digest);

    let names = ctr(&["images", "list", "--quiet"]);
    for name in names.lines() {
        ctr(&["images", "remove", "--sync", name]);
    }
    assert_eq!(ctr(&["content", "list", "--quiet"]).trim(), "", "nothing may be left to pull from");
    ctr(&["content", "fetch", "--plain-http", "--all-platforms", &image]);
    assert!(ctr(&["images", "list"]).contains(digest.as_str()));
    let mut fetched: Vec<String> = ctr(&["content", "list", "--quiet"]).lines().map(str::to_owned).collect();
    fetched.sort();
    let sent: Vec<String> = layout.contents().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(fetched, sent);
}

#[test]
fn containerd_pushes_and_pulls_an_image() {
    if require_root() && require(Containerd::TOOLS) && require(Skopeo::TOOLS) {
        out_and_back(false);
    }
}

#[test]
fn containerd_pushes_and_pulls_an_index_of_two_platforms() {
    if require_root() && require(Containerd::TOOLS) && require(Skopeo::TOOLS) {
        out_and_back(true);
    }
}
