//! Out into archives and in again: ours, podman's and skopeo's.

use berth_conformance::harness::{Scratch, Tool, require, require_root};

use super::{
    done,
    layout::{Layer, Layout, tar},
    refused,
};
use crate::program::Runner;

fn layout() -> Layout {
    Layout::of(&[
        Layer::gzip(&tar(&[("etc/motd", b"hello\n"), ("large", &[7; 300_000])])),
        Layer::zstd(&tar(&[("b", b"b")])),
    ])
}

const NAME: &str = "test.example/image:1";

#[test]
fn what_is_saved_is_loaded_with_the_same_id_in_every_format() {
    let (runner, layout) = (Runner::new(), layout());
    let id = done(&runner, &["pull", "-q", &layout.name()]);
    let scratch = Scratch::new("save").unwrap();
    for format in ["docker-archive", "oci-archive", "oci-dir", "docker-dir"] {
        let path = scratch.join(format);
        let path = path.to_str().unwrap();
        done(&runner, &["save", "-q", "--format", format, "-o", path, NAME]);
        let other = Runner::new();
        done(&other, &["load", "-q", "-i", path]);
        assert_eq!(done(&other, &["images", "-q", "--no-trunc"]), format!("sha256:{id}"), "{format}");
        let named = done(&other, &["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        assert_eq!(named, if format == "docker-dir" { "<none>:<none>" } else { NAME }, "{format}");
        assert!(other.run(&["check"]).status.success());
    }
}

#[test]
fn several_images_go_through_one_archive_and_share_their_layers() {
    let runner = Runner::new();
    let base = Layer::gzip(&tar(&[("base", &[1; 100_000])]));
    for (name, layers) in
        [("one", vec![base.clone()]), ("two", vec![base.clone(), Layer::gzip(&tar(&[("x", b"x")]))])]
    {
        done(&runner, &["pull", "-q", &Layout::of(&layers).name()]);
        done(&runner, &["tag", NAME, name]);
    }
    let scratch = Scratch::new("multi").unwrap();
    let path = scratch.join("both.tar");
    done(&runner, &["save", "-q", "-o", path.to_str().unwrap(), "one", "two"]);
    assert!(std::fs::metadata(&path).unwrap().len() < 150_000, "the shared layer is there once");
    let other = Runner::new();
    let mut load = other.command(&["load", "-q"]);
    let output = load.stdin(std::fs::File::open(&path).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = done(&other, &["images", "--sort", "repository", "--format", "{{.Repository}}"]);
    assert_eq!(names, "localhost/one\nlocalhost/two");
}

/// Whether a process has a file of a folder open.
fn writes_into(pid: u32, folder: &std::path::Path) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|file| file.starts_with(folder)))
}

#[test]
fn f24_a_save_that_is_killed_leaves_nothing_and_what_had_the_name_as_it_was() {
    let runner = Runner::new();
    let noise: Vec<u8> =
        (0..8_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    done(&runner, &["pull", "-q", &Layout::of(&[Layer::gzip(&tar(&[("large", &noise)]))]).name()]);
    let scratch = Scratch::new("killed").unwrap();
    let folder = scratch.subfolder("out").unwrap();
    let path = folder.join("a.tar");
    let mut killed = 0;
    // One that was faster than the look at it says nothing.
    for _ in 0..20 {
        std::fs::write(&path, "before").unwrap();
        let mut child = runner.command(&["save", "-q", "-o", path.to_str().unwrap(), NAME]).spawn().unwrap();
        let ended = loop {
            if writes_into(child.id(), &folder) {
                break false;
            }
            if child.try_wait().unwrap().is_some() {
                break true;
            }
        };
        let _ended_already = child.kill();
        child.wait().unwrap();
        let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names, std::slice::from_ref(&path));
        if !ended && std::fs::read(&path).unwrap() == b"before" {
            killed += 1;
        }
    }
    assert!(killed > 0, "none was killed in its middle");
}

#[test]
fn loading_what_is_here_keeps_the_manifest_that_it_came_with() {
    let (runner, layout) = (Runner::new(), layout());
    done(&runner, &["pull", "-q", &layout.name()]);
    let scratch = Scratch::new("again").unwrap();
    let path = scratch.join("a.tar");
    done(&runner, &["save", "-q", "-o", path.to_str().unwrap(), NAME]);
    done(&runner, &["load", "-q", "-i", path.to_str().unwrap()]);
    assert_eq!(done(&runner, &["images", "--format", "{{.Digest}}"]), layout.digest().as_str());
}

#[test]
fn podman_loads_what_is_saved_and_what_it_saves_is_loaded() {
    if !require_root() || !require(&["podman"]) {
        return;
    }
    let (runner, layout) = (Runner::new(), layout());
    let id = done(&runner, &["pull", "-q", &layout.name()]);
    let scratch = Scratch::new("podman").unwrap();
    let (root, run) = (scratch.subfolder("root").unwrap(), scratch.subfolder("run").unwrap());
    let podman = |arguments: &[&str]| {
        let tool = Tool::new("podman").unwrap().arg("--root").arg(&root).arg("--runroot").arg(&run);
        tool.args(["--storage-driver", "vfs"]).args(arguments).run().unwrap()
    };
    let ours = scratch.join("ours.tar");
    done(&runner, &["save", "-q", "-o", ours.to_str().unwrap(), NAME]);
    podman(&["load", "-q", "-i", ours.to_str().unwrap()]);
    let told = podman(&["image", "inspect", "--format", "{{.Id}} {{len .RootFS.Layers}}", NAME]);
    assert_eq!(told.trim(), format!("{id} 2"));
    for format in ["docker-archive", "oci-archive"] {
        let theirs = scratch.join(format);
        podman(&["save", "-q", "--format", format, "-o", theirs.to_str().unwrap(), NAME]);
        let other = Runner::new();
        done(&other, &["load", "-q", "-i", theirs.to_str().unwrap()]);
        let told = done(&other, &["image", "inspect", "-f", "{{.RootFS.Layers}} {{.RepoTags}}", NAME]);
        let layers = done(&runner, &["image", "inspect", "-f", "{{.RootFS.Layers}}", NAME]);
        // Of the other format podman writes the configuration anew.
        assert_eq!(told, format!("{layers} [{NAME}]"));
        assert!(format == "oci-archive" || done(&other, &["images", "--format", "{{.Id}}"]) == id);
    }
}

#[test]
fn what_is_no_archive_of_images_is_named() {
    let (runner, scratch) = (Runner::new(), Scratch::new("none").unwrap());
    let path = scratch.join("files.tar");
    std::fs::write(&path, tar(&[("a", b"b")])).unwrap();
    let error = refused(&runner, 4, &["load", "-i", path.to_str().unwrap()]);
    assert!(error.contains("neither manifest.json nor index.json"), "{error}");
}
