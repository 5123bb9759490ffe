//! `import`: what Debian's docker-registry wrote is served by Berth, with the same digests.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use berth_conformance::clients::{Remote, digest_of};
use berth_conformance::harness::{Berth, DockerRegistry, Scratch, Stack, Tool, require};
use serde_json::Value;

use super::recover::{command, everything, push_image, push_with_clients};

/// What an import says, its last line first, and its status.
fn import(berth: &Berth, words: &[&str]) -> (Value, i32, String) {
    let said = command(berth, &[&["import", "--json"], words].concat());
    let status = said.status.code().unwrap();
    let last = said.stdout.lines().last().unwrap_or_else(|| panic!("{}", said.stderr));
    (serde_json::from_str::<Value>(last).unwrap()["result"].clone(), status, said.stdout)
}

/// Fills another registry, with what was pushed and what was deleted again.
fn fill(other: &DockerRegistry, scratch: &Scratch) -> Remote {
    let remote = Remote::new(&other.url()).unwrap();
    push_with_clients(&other.host(), scratch);
    push_image(&remote, "a/b", "one", "one");
    push_image(&remote, "a/b", "moved", "one");
    push_image(&remote, "a/b", "moved", "two");
    let three = push_image(&remote, "a/b", "three", "three");
    assert_eq!(remote.delete_manifest("a/b", three.as_str()).unwrap(), 202);
    remote
}

/// What another registry serves, as far as it knows of referrers.
fn tags(remote: &Remote) -> Vec<(String, String)> {
    let tags = remote.every_tag().unwrap();
    tags.into_iter().map(|(name, digest)| (name, digest.to_string())).collect()
}

#[test]
fn a_folder_that_docker_registry_wrote_is_imported_in_place_while_it_serves() {
    if !require(DockerRegistry::TOOLS) {
        return;
    }
    let other = DockerRegistry::start().unwrap();
    let scratch = Scratch::new("import").unwrap();
    let theirs = fill(&other, &scratch);
    let mut berth = Berth::builder().start().unwrap();
    let from = other.data().display().to_string();
    let (result, status, said) = import(&berth, &["--from", &from, "--verify"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(result["copied"], 0, "{said}");
    let ours = Remote::new(&berth.url()).unwrap();
    assert_eq!(tags(&ours), tags(&theirs));
    assert_eq!(result["tags"], tags(&ours).len());
    // Everything can be pulled, and no byte of it is there twice.
    everything(&ours);
    let hex = digest_of(b"layer of one").hex().to_owned();
    let blob = Path::new("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(&hex).join("data");
    assert_eq!(std::fs::metadata(other.data().join(&blob)).unwrap().nlink(), 2);

    // What comes there meanwhile comes here with a second run; what is newer here stays.
    push_image(&theirs, "a/b", "late", "late");
    push_image(&theirs, "a/b", "one", "two");
    push_image(&ours, "a/b", "moved", "ours");
    let (result, status, said) = import(&berth, &["--from", &from]);
    assert_eq!(status, 0, "{said}");
    assert_eq!((&result["tags"], &result["newer"]), (&2.into(), &1.into()), "{said}");
    let digest = |remote: &Remote, tag: &str| remote.manifest("a/b", tag).unwrap().unwrap().digest;
    assert_eq!(digest(&ours, "late"), digest(&theirs, "late"));
    assert_eq!(digest(&ours, "one"), digest(&theirs, "one"));
    assert_ne!(digest(&ours, "moved"), digest(&theirs, "moved"));

    // The other one is gone with all its files, and nothing is missing here; not even the database would be.
    let before = everything(&ours);
    std::fs::remove_dir_all(other.data().join("docker")).unwrap();
    assert_eq!(everything(&ours), before);
    berth.stop();
    super::recover::lose_database(&berth);
    let recovered = command(&berth, &["recover"]);
    assert!(recovered.status.success(), "{}{}", recovered.stdout, recovered.stderr);
    berth.start().unwrap();
    assert_eq!(everything(&Remote::new(&berth.url()).unwrap()), before);
}

#[test]
fn a_tree_in_the_bucket_is_served_where_it_is_and_never_deleted() {
    if !require(DockerRegistry::TOOLS) || !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let other = DockerRegistry::start().unwrap();
    let scratch = Scratch::new("import").unwrap();
    let theirs = fill(&other, &scratch);
    let stack = Stack::outside().unwrap();
    let Stack::Outside(outside) = &stack else { unreachable!("it was just made") };
    let place = outside.bucket_folder().join("old");
    std::fs::create_dir_all(&place).unwrap();
    let from = other.data().join("docker").display().to_string();
    Tool::new("cp").unwrap().args(["-a", &from, &place.display().to_string()]).run().unwrap();
    let blobs = || {
        let count = Tool::new("find").unwrap().arg(place.display().to_string()).args(["-name", "data"]);
        count.run().unwrap().lines().count()
    };
    let (before, mut berth) = (blobs(), Berth::builder().stack(stack.clone()).start().unwrap());
    let (result, status, said) = import(&berth, &["--bucket", "/old", "--verify"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(result["copied"], 0, "{said}");
    let ours = Remote::new(&berth.url()).unwrap();
    assert_eq!(tags(&ours), tags(&theirs));
    let seen = everything(&ours);
    let clean = command(&berth, &["check", "--read-data"]);
    assert_eq!(clean.status.code(), Some(0), "{}", clean.stdout);

    // A lost database comes back with objects that are not ours.
    berth.kill().unwrap();
    super::recover::lose_database(&berth);
    let recovered = command(&berth, &["recover"]);
    assert!(recovered.status.success(), "{}{}", recovered.stdout, recovered.stderr);
    berth.start().unwrap();
    assert_eq!(everything(&Remote::new(&berth.url()).unwrap()), seen);
    assert_eq!(blobs(), before);
}

#[test]
fn a_folder_is_imported_into_a_bucket_by_copying() {
    if !require(DockerRegistry::TOOLS) || !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let other = DockerRegistry::start().unwrap();
    let theirs = Remote::new(&other.url()).unwrap();
    push_image(&theirs, "a", "v1", "one");
    let berth = Berth::builder().stack(Stack::outside().unwrap()).start().unwrap();
    let (result, status, said) = import(&berth, &["--from", &other.data().display().to_string()]);
    assert_eq!((status, &result["copied"]), (0, &2.into()), "{said}");
    let ours = Remote::new(&berth.url()).unwrap();
    assert_eq!(tags(&ours), tags(&theirs));
    everything(&ours);
}

#[test]
fn a_damaged_tree_is_imported_but_for_what_is_damaged() {
    if !require(DockerRegistry::TOOLS) {
        return;
    }
    let other = DockerRegistry::start().unwrap();
    let theirs = Remote::new(&other.url()).unwrap();
    push_image(&theirs, "a", "v1", "one");
    push_image(&theirs, "a", "v2", "two");
    let broken = push_image(&theirs, "a", "v3", "three");
    let path = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        other.data().join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    };
    let layer = digest_of(b"layer of two");
    std::fs::write(path(layer.as_str()), b"layer of tw0").unwrap();
    std::fs::write(path(broken.as_str()), b"{}").unwrap();
    let berth = Berth::builder().start().unwrap();
    let (result, status, said) = import(&berth, &["--from", &other.data().display().to_string(), "--verify"]);
    assert_eq!(status, 1, "{said}");
    assert_eq!((&result["tags"], &result["incomplete"]), (&2.into(), &1.into()), "{said}");
    let ours = Remote::new(&berth.url()).unwrap();
    assert_eq!(ours.tags("a").unwrap(), ["v1", "v2"]);
    assert_eq!(ours.blob_status("a", layer.as_str()).unwrap(), 404);
    let nothing = command(&berth, &["import", "--from", "/nowhere"]);
    assert_ne!(nothing.status.code(), Some(0));
}
