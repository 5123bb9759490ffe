//! A catalog that is lost while blobs are kept comes back from the records beside them.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::collections::BTreeMap;

use berth_conformance::clients::{Content, Layout, Podman, Remote, Skopeo, digest_of};
use berth_conformance::harness::{Berth, Dockerd, Finished, Scratch, Stack, Tool, require, require_root};
use berth_oci::{Digest, MediaType};
use serde_json::{Value, json};

/// Runs a command of the registry's binary with the configuration of a server.
pub(super) fn command(berth: &Berth, words: &[&str]) -> Finished {
    let config = berth.config().display().to_string();
    let tool = Tool::at(Berth::binary().unwrap()).args(words).args(["--config", &config]);
    tool.finish().unwrap()
}

/// An image of one layer, pushed as plain requests.
pub(super) fn push_image(remote: &Remote, repository: &str, tag: &str, salt: &str) -> Digest {
    let (config, layer) = (format!("{{\"made\":\"{salt}\"}}"), format!("layer of {salt}"));
    for blob in [&config, &layer] {
        assert_eq!(remote.push_blob(repository, blob.as_bytes()).unwrap(), 201);
    }
    let descriptor = |media_type: &str, bytes: &str| json!({"mediaType": media_type, "digest": digest_of(bytes.as_bytes()), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor(MediaType::OCI_CONFIG, &config),
        "layers": [descriptor(MediaType::OCI_LAYER_GZIP, &layer)],
    });
    assert_eq!(remote.push_manifest(repository, tag, &manifest).unwrap(), 201);
    digest_of(manifest.to_string().as_bytes())
}

/// An artifact that refers to a subject; it has no tag.
fn push_referrer(remote: &Remote, repository: &str, subject: &Digest) -> Digest {
    assert_eq!(remote.push_blob(repository, b"{}").unwrap(), 201);
    let held = remote.manifest(repository, subject.as_str()).unwrap().unwrap();
    let empty =
        json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": "application/vnd.example.sbom",
        "config": empty, "layers": [empty], "annotations": {"for": repository},
        "subject": {"mediaType": held.media_type, "digest": subject, "size": held.json.to_string().len()},
    });
    let digest = digest_of(manifest.to_string().as_bytes());
    assert_eq!(remote.push_manifest(repository, digest.as_str(), &manifest).unwrap(), 201);
    digest
}

/// Everything that a client can see: tags, what each serves, and who refers to it.
pub(super) fn everything(remote: &Remote) -> BTreeMap<String, (Digest, Value, Vec<String>)> {
    let mut seen = BTreeMap::new();
    for (name, digest) in remote.every_tag().unwrap() {
        let (repository, _) = name.rsplit_once(':').unwrap();
        let held = remote.manifest(repository, digest.as_str()).unwrap().unwrap();
        for child in held.child_digests() {
            if remote.manifest(repository, child).unwrap().is_none() {
                let blob = remote.blob(repository, child).unwrap().unwrap();
                assert_eq!(digest_of(&blob).as_str(), child);
            }
        }
        let referrers = remote.referrers(repository, &digest).unwrap();
        seen.insert(name.clone(), (digest, held.json, referrers));
    }
    seen
}

/// Pushes with the clients that are there.
pub(super) fn push_with_clients(host: &str, scratch: &Scratch) -> usize {
    let mut clients = 0;
    if require(Skopeo::TOOLS) {
        let skopeo = Skopeo::new().unwrap();
        let (layout, _) = Layout::small_index(scratch.join("index"), "index of skopeo").unwrap();
        let from = format!("oci:{}:latest", layout.path().display());
        for tag in ["v1", "v2", "gone"] {
            let to = format!("docker://{host}/team/skopeo:{tag}");
            skopeo.copy(&["--all", "--preserve-digests"], &from, &to).unwrap();
        }
        clients += 1;
    }
    let layout = Layout::create(scratch.join("made")).unwrap();
    let noise = Content::Noise { seed: 11, size: 1 << 20 };
    let tar = layout.layer(&[("hello", Content::Bytes(b"recover")), ("noise", noise)]).unwrap();
    let tar = layout.path().join("blobs/sha256").join(tar.digest.hex()).display().to_string();
    if require_root() && require(Podman::TOOLS) {
        let (podman, image) = (Podman::new().unwrap(), format!("{host}/team/podman:latest"));
        podman.run(&["import", &tar, &image]).unwrap();
        podman.run(&["push", "--tls-verify=false", &image]).unwrap();
        clients += 1;
    }
    if require_root() && require(Dockerd::TOOLS) {
        let (dockerd, image) = (Dockerd::shared().unwrap(), format!("{host}/team/docker:latest"));
        let docker = |words: &[&str]| dockerd.docker().unwrap().args(words).run().unwrap();
        docker(&["import", &tar, &image]);
        docker(&["push", &image]);
        docker(&["rmi", &image]);
        clients += 1;
    }
    clients
}

/// Pushes, loses the database, recovers, and looks whether anything is different.
fn lost_and_recovered(stack: Stack) {
    let mut berth = Berth::builder().stack(stack).start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    let scratch = Scratch::new("recover").unwrap();
    push_with_clients(&berth.host(), &scratch);
    let (one, two) =
        (push_image(&remote, "a/b", "latest", "one"), push_image(&remote, "a/b", "latest", "two"));
    push_image(&remote, "a/b", "other", "one");
    let referrer = push_referrer(&remote, "a/b", &two);
    push_image(&remote, "a/b", "deleted", "one");
    assert_eq!(remote.delete_manifest("a/b", "deleted").unwrap(), 202);
    // Points at the first again, and is deleted then: neither place may bring it back.
    push_image(&remote, "a/b", "wandered", "one");
    push_image(&remote, "a/b", "wandered", "two");
    assert_eq!(remote.delete_manifest("a/b", "wandered").unwrap(), 202);
    let three = push_image(&remote, "a/b", "three", "three");
    assert_eq!(remote.delete_manifest("a/b", three.as_str()).unwrap(), 202);
    if require(Skopeo::TOOLS) {
        assert_eq!(remote.delete_manifest("team/skopeo", "gone").unwrap(), 202);
    }
    let before = everything(&remote);
    assert_eq!(before["a/b:latest"].0, two);
    assert_eq!(before["a/b:other"].0, one);
    assert_eq!(before["a/b:latest"].2, [referrer.as_str()]);

    // The moment of the last answer is the moment of the loss.
    berth.kill().unwrap();
    lose_database(&berth);
    let said = command(&berth, &["recover"]);
    assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains(&format!("{} tags", before.len())), "{}", said.stdout);
    berth.start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    assert_eq!(everything(&remote), before);
    assert!(remote.manifest("a/b", three.as_str()).unwrap().is_none(), "a deleted manifest is back");
    // And it goes on as a registry does.
    push_image(&remote, "a/b", "latest", "four");

    // What is there is not overwritten.
    berth.stop();
    let again = command(&berth, &["recover"]);
    assert_eq!(again.status.code(), Some(1), "{}", again.stderr);
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);
}

pub(super) fn lose_database(berth: &Berth) {
    match berth.stack() {
        Stack::Embedded => {
            for file in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
                std::fs::remove_file(berth.data().join(file)).ok();
            }
            assert!(!berth.data().join("catalog.db").exists());
        }
        Stack::Outside(stack) => stack.lose_database().unwrap(),
    }
}

#[test]
fn f13_a_lost_sqlite_catalog_comes_back_from_the_folder_with_every_tag() {
    lost_and_recovered(Stack::Embedded);
}

#[test]
fn f13_a_lost_postgresql_catalog_comes_back_from_the_bucket_with_every_tag() {
    if require(super::OUTSIDE_TOOLS) {
        lost_and_recovered(Stack::outside().unwrap());
    }
}

#[test]
fn recover_says_75_while_the_registry_runs() {
    let berth = Berth::builder().start().unwrap();
    let said = command(&berth, &["recover"]);
    assert_eq!(said.status.code(), Some(75));
    assert!(said.stderr.contains("stopped"), "{}", said.stderr);
}

#[test]
fn recover_names_what_is_lost() {
    let mut berth = Berth::builder().start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    push_image(&remote, "a", "v1", "one");
    push_image(&remote, "a", "v2", "two");
    berth.stop();
    lose_database(&berth);
    let storage = berth.data().join("storage");
    let layer = digest_of(b"layer of one");
    let folder = storage.join("blobs/sha256").join(&layer.hex()[..2]);
    let mut removed = 0;
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(layer.hex()) {
            std::fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert_eq!(removed, 1);
    let record = storage.join("tags/a/_v2");
    let mut bytes = std::fs::read(&record).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&record, bytes).unwrap();
    let said = command(&berth, &["recover", "--json"]);
    assert_eq!(said.status.code(), Some(1), "{}{}", said.stdout, said.stderr);
    let lines: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["lost"] == "tags/a/_v2"), "{}", said.stdout);
    let lacks = lines.iter().find_map(|line| line["lacks"].as_array()).unwrap();
    assert_eq!(lacks.len(), 1);
    assert_eq!(lacks[0], layer.as_str());
    assert_eq!(lines.last().unwrap()["recovered"]["tags"], 1);
    berth.start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    assert_eq!(remote.tags("a").unwrap(), ["v1"]);
}
