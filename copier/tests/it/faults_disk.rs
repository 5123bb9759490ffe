//! A full disk, and several writers at one place.

use std::path::Path;

use berth_conformance::harness::{DockerRegistry, Scratch, Tool, require, require_root};

use crate::faults_cell::{ALL, Image, LAYERS, Server, User, files, present, tagged};

const TRANSPORTS: [(&str, &str); 4] =
    [("dir", ""), ("oci", ":x"), ("oci-archive", ":x"), ("docker-archive", ":x:1")];

/// A small disk, which goes with its handle.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path, bytes: u64) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={bytes}");
        Tool::new("mount").unwrap().args(["-t", "tmpfs", "-o", &*size, "tmpfs"]).arg(at).run().unwrap();
        Self(at)
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        Tool::new("umount").unwrap().arg(self.0).run().unwrap();
    }
}

/// What is at `name` reads as no image, and nobody keeps temporary files.
fn nothing_is_left(user: &User<'_>, transport: &str, target: &Path, name: &str) {
    let (status, log) = user.start_copy(&[], name, "dir:/nonexistent/never").end();
    assert!(!status.success() && !log.contains("nonexistent"), "{name} reads as an image: {log}");
    assert!(files(&user.tmp()).is_empty());
    assert!(!transport.ends_with("-archive") || !target.exists(), "{name} stays");
}

#[test]
fn a_full_disk_is_a_clear_error_and_leaves_no_image() {
    if !require(&["mount", "umount"]) || !require_root() {
        return;
    }
    let scratch = Scratch::new("full").unwrap();
    let image = Image::big(&scratch);
    let user = User { scratch: &scratch };
    let at = scratch.join("disk");
    for (transport, rest) in TRANSPORTS {
        let disk = Disk::mount(&at, ALL / 2);
        let target = at.join("image");
        let name = format!("{transport}:{}{rest}", target.display());
        let (status, log) = user.start_copy(&[], &image.name, &name).end();
        assert_eq!(status.code(), Some(1), "{name}: {log}");
        assert!(
            log.contains("No space left on device") && log.contains(at.to_str().unwrap()),
            "{name}: {log}"
        );
        nothing_is_left(&user, transport, &target, &name);
        drop(disk);
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_a_clear_error_and_leaves_no_image() {
    if !require(&["prlimit"]) {
        return;
    }
    let scratch = Scratch::new("limit").unwrap();
    let image = Image::big(&scratch);
    let user = User { scratch: &scratch };
    for (transport, rest) in TRANSPORTS {
        let target = scratch.join(transport);
        let name = format!("{transport}:{}{rest}", target.display());
        let wrapper = ["prlimit", "--fsize=2097152", "--"];
        let (status, log) = user.start_under(&wrapper, &[], &image.name, &name).end();
        assert_eq!(status.code(), Some(1), "{name}: {status} {log}");
        assert!(log.contains("File too large"), "{name}: {log}");
        nothing_is_left(&user, transport, &target, &name);
    }
}

#[test]
fn a_full_disk_for_temporary_files_is_told_with_its_folder() {
    if !require(&["mount", "umount"]) || !require_root() {
        return;
    }
    let scratch = Scratch::new("full").unwrap();
    let image = Image::big(&scratch);
    let user = User { scratch: &scratch };
    let archive = scratch.join("image.tar");
    let name = format!("oci-archive:{}:x", archive.display());
    user.copy(&[], &image.name, &name);
    Tool::new("gzip").unwrap().args(["-1", "-k"]).arg(&archive).run().unwrap();
    let tmp = user.tmp();
    let disk = Disk::mount(&tmp, ALL / 2);
    let packed = format!("oci-archive:{}.gz:x", archive.display());
    let target = format!("oci:{}:x", scratch.join("back").display());
    let (status, log) = user.start_copy(&[], &packed, &target).end();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("No space left on device") && log.contains(tmp.to_str().unwrap()), "{log}");
    assert!(files(&tmp).is_empty());
    drop(disk);
    user.copy(&[], &packed, &target);
}

#[test]
fn two_processes_write_into_one_layout_at_once() {
    let scratch = Scratch::new("together").unwrap();
    let user = User { scratch: &scratch };
    let images: Vec<Image> =
        (1..=4).map(|seed| Image::write(&scratch.join(format!("from-{seed}")), seed, 3, 500_000)).collect();
    let shared = scratch.join("shared");
    let name = |place: usize| format!("oci:{}:image-{place}", shared.display());
    let running: Vec<_> = images
        .iter()
        .enumerate()
        .map(|(place, image)| user.start_copy(&[], &image.name, &name(place)))
        .collect();
    for copy in running {
        let (status, log) = copy.end();
        assert_eq!(status.code(), Some(0), "{log}");
    }
    for (place, image) in images.iter().enumerate() {
        let digest = scratch.join("digest");
        let target = format!("dir:{}", scratch.join(format!("back-{place}")).display());
        user.copy(&[&format!("--digestfile={}", digest.display())], &name(place), &target);
        assert_eq!(std::fs::read_to_string(digest).unwrap(), image.digest.as_str());
    }
}

fn ten_at_once(target: &Server) {
    let scratch = Scratch::new("together").unwrap();
    let image = Image::write(&scratch.join("layout"), 3, LAYERS, 300_000);
    let user = User { scratch: &scratch };
    let to = format!("docker://{}/one:1", target.host());
    let running: Vec<_> = (0..10).map(|_| user.start_copy(&[], &image.name, &to)).collect();
    for copy in running {
        let (status, log) = copy.end();
        assert_eq!(status.code(), Some(0), "{log}");
    }
    assert!(tagged(target.port(), "one", "1"));
    assert_eq!(present(target.port(), "one", &image.blobs), LAYERS + 1);
    assert!(target.no_upload_left());
}

#[test]
fn ten_processes_copy_one_image_into_berth_at_once() {
    ten_at_once(&Server::berth());
}

#[test]
fn ten_processes_copy_one_image_into_docker_registry_at_once() {
    if require(DockerRegistry::TOOLS) {
        ten_at_once(&Server::docker());
    }
}
