//! `check`: what it finds, what it puts right, and that damaged bytes are not served.

#![allow(clippy::unwrap_used, reason = "the steps of a test panic as the test itself does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_conformance::clients::{Remote, digest_of};
use berth_conformance::harness::{Berth, Stack, require, until};
use serde_json::Value;

use super::recover::{command, push_image};

/// Files below a folder, without those of half-done uploads.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// The objects of blobs, with the folder that both kinds of storage come to in these tests.
fn objects(berth: &Berth) -> Vec<PathBuf> {
    let root = match berth.stack() {
        Stack::Embedded => berth.data().join("storage"),
        Stack::Outside(stack) => stack.bucket_folder(),
    };
    files(&root.join("blobs"))
}

/// The object that holds these bytes.
fn object_of(berth: &Berth, content: &[u8]) -> PathBuf {
    objects(berth).into_iter().find(|path| fs::read(path).unwrap() == content).unwrap()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// What `check` says, a line each, and its status.
fn check(berth: &Berth, words: &[&str]) -> (Vec<Value>, i32) {
    let said = command(berth, &[&["check", "--json"], words].concat());
    let lines = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, said.status.code().unwrap_or_else(|| panic!("{}", said.stderr)))
}

fn findings<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l str> {
    lines.iter().filter(|line| line["finding"] == kind).map(|line| line["what"].as_str().unwrap()).collect()
}

/// Damages every blob, and looks that each is found, none is served, and a push heals.
fn bit_rot(stack: Stack) {
    const IMAGES: usize = 10;
    let berth = Berth::builder().stack(stack).start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    for n in 0..IMAGES {
        push_image(&remote, "rot", &format!("v{n}"), &format!("number {n}"));
    }
    let (lines, status) = check(&berth, &["--read-data"]);
    assert_eq!(status, 0, "{lines:?}");
    assert_eq!(lines.last().unwrap()["result"]["read"], 2 * IMAGES);

    for object in objects(&berth) {
        flip(&object);
    }
    // In three parts, all of which together are everything.
    let mut found = Vec::new();
    for part in ["1/3", "2/3", "3/3"] {
        let (lines, status) = check(&berth, &["--read-data", part]);
        assert_eq!(status, 1);
        found.extend(findings(&lines, "object-damaged").into_iter().map(str::to_owned));
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 2 * IMAGES, "{found:?}");
    for digest in &found {
        assert_eq!(remote.blob("rot", digest).unwrap(), Err(404));
        assert_eq!(remote.blob_status("rot", digest).unwrap(), 404);
    }

    // Whoever pushes again, as clients do that are told the blob is not there, heals it for everybody.
    for n in 0..IMAGES {
        push_image(&remote, "rot", &format!("v{n}"), &format!("number {n}"));
    }
    for digest in &found {
        assert_eq!(digest_of(&remote.blob("rot", digest).unwrap().unwrap()).as_str(), digest);
    }
    let (lines, status) = check(&berth, &["--read-data", "--repair", "--grace", "0"]);
    assert_eq!(findings(&lines, "orphan").len(), 2 * IMAGES, "{lines:?}");
    assert_eq!(status, 1);
    let (lines, status) = check(&berth, &["--read-data", "--grace", "0"]);
    assert_eq!(status, 0, "{lines:?}");
}

#[test]
fn f20_a_flipped_byte_in_a_folder_is_found_and_not_served_and_a_push_heals_it() {
    bit_rot(Stack::Embedded);
}

#[test]
fn f20_a_flipped_byte_in_a_bucket_is_found_and_not_served_and_a_push_heals_it() {
    if require(super::OUTSIDE_TOOLS) {
        bit_rot(Stack::outside().unwrap());
    }
}

#[test]
fn f20_the_scrub_finds_a_flipped_byte_by_itself() {
    let berth = Berth::builder().set("scrub.every", "\"1s\"").set("scrub.rate", "\"1GiB\"").start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    push_image(&remote, "rot", "v1", "one");
    push_image(&remote, "rot", "v2", "two");
    let layer = b"layer of one";
    flip(&object_of(&berth, layer));
    let digest = digest_of(layer);
    let gone = || (remote.blob_status("rot", digest.as_str()).unwrap() == 404).then_some(());
    until(Duration::from_secs(120), gone).unwrap();
    assert_eq!(remote.blob_status("rot", digest_of(b"layer of two").as_str()).unwrap(), 200);
    assert!(berth.logs().contains(&format!("Blob {digest} is damaged")), "{}", berth.logs());
}

#[test]
fn check_finds_what_is_missing_and_what_is_nobodys_and_puts_it_right() {
    let mut berth = Berth::builder().start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    push_image(&remote, "a", "v1", "one");
    push_image(&remote, "a", "v2", "two");
    let storage = berth.data().join("storage");
    fs::remove_file(object_of(&berth, b"layer of one")).unwrap();
    fs::write(object_of(&berth, b"layer of two"), b"short").unwrap();
    fs::write(storage.join("blobs/sha256/orphan"), b"nobody's").unwrap();
    fs::remove_file(storage.join("tags/a/_v1")).unwrap();
    fs::copy(storage.join("tags/a/_v2"), storage.join("tags/a/_v3")).unwrap();
    let (lines, status) = check(&berth, &["--grace", "0"]);
    assert_eq!(status, 1);
    let (one, two) = (digest_of(b"layer of one"), digest_of(b"layer of two"));
    assert_eq!(findings(&lines, "object-missing"), [one.as_str()]);
    assert_eq!(findings(&lines, "object-size"), [two.as_str()]);
    assert_eq!(findings(&lines, "orphan"), ["blobs/sha256/orphan"]);
    assert_eq!(findings(&lines, "record-missing"), ["a:v1"]);
    assert_eq!(findings(&lines, "record-stray"), ["tags/a/_v3"]);
    assert!(lines.iter().all(|line| line["repaired"] != true), "{lines:?}");
    // What is young may belong to a push that is under way.
    let (lines, _) = check(&berth, &[]);
    assert!(findings(&lines, "orphan").is_empty());

    // The same without a server.
    berth.stop();
    let (lines, status) = check(&berth, &["--grace", "0", "--repair"]);
    assert_eq!(status, 1);
    assert_eq!(lines.last().unwrap()["result"]["repaired"], 5, "{lines:?}");
    berth.start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    for (tag, salt) in [("v1", "one"), ("v2", "two")] {
        push_image(&remote, "a", tag, salt);
    }
    let (lines, status) = check(&berth, &["--grace", "0", "--repair"]);
    // The short object, which no blob has any more.
    assert_eq!((findings(&lines, "orphan").len(), status), (1, 1), "{lines:?}");
    let (lines, status) = check(&berth, &["--grace", "0", "--read-data"]);
    assert_eq!(status, 0, "{lines:?}");
}

#[test]
fn check_repairs_nothing_where_nothing_is_in_its_place() {
    let mut berth = Berth::builder().start().unwrap();
    let remote = Remote::new(&berth.url()).unwrap();
    for n in 0..10 {
        push_image(&remote, "a", &format!("v{n}"), &format!("number {n}"));
    }
    berth.stop();
    let blobs = berth.data().join("storage/blobs/sha256");
    let aside = berth.data().join("storage/blobs/aside");
    fs::rename(&blobs, &aside).unwrap();
    let said = command(&berth, &["check", "--repair"]);
    assert!(said.stderr.contains("right storage"), "{}{}", said.stdout, said.stderr);
    fs::remove_dir_all(&blobs).ok();
    fs::rename(&aside, &blobs).unwrap();
    assert_eq!(check(&berth, &["--read-data"]).1, 0);
}
