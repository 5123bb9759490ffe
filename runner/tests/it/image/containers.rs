//! Files into containers and out of them, and images of what containers changed.

use std::{io::Write, path::Path, process::Stdio};

use berth_conformance::harness::{Scratch, require_root};

use super::{
    done,
    layout::{Layer, Layout},
    refused,
};
use crate::program::Runner;

const NAME: &str = "test.example/image:1";

/// An image of the layer below.
pub(super) fn layout() -> Layout {
    Layout::of(&[layer()])
}

/// busybox as /bin/busybox and /bin/sh, and some folders.
pub(super) fn layer() -> Layer {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind, mode, content: &[u8], link: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(1_000_000_000);
        if link.is_empty() {
            tar.append_data(&mut header, name, content).unwrap();
        } else {
            tar.append_link(&mut header, name, link).unwrap();
        }
    };
    let busybox = std::fs::read("/bin/busybox").unwrap();
    for folder in ["bin/", "etc/", "tmp/", "srv/"] {
        add(folder, tar::EntryType::Directory, 0o755, b"", "");
    }
    add("bin/busybox", tar::EntryType::Regular, 0o755, &busybox, "");
    for name in ["sh", "sleep", "cat", "stat", "true", "ln", "rm"] {
        add(&format!("bin/{name}"), tar::EntryType::Symlink, 0o777, b"", "busybox");
    }
    add("etc/passwd", tar::EntryType::Regular, 0o644, b"root:x:0:0::/:/bin/sh\n", "");
    add("etc/motd", tar::EntryType::Regular, 0o644, b"hello\n", "");
    Layer::gzip(&tar.into_inner().unwrap())
}

/// A runner with the image, whose containers go with it.
struct Machine(Runner);

impl Machine {
    fn new() -> Self {
        let runner = Runner::new();
        done(&runner, &["pull", "-q", &layout().name()]);
        Self(runner)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone = self.0.run(&["rm", "-f", "-t", "0", "c"]);
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn files_go_into_a_container_that_never_ran_and_come_out_again() {
    if !require_root() {
        return;
    }
    let (machine, scratch) = (Machine::new(), Scratch::new("cp").unwrap());
    let runner = &machine.0;
    done(runner, &["create", "--name", "c", NAME, "/bin/true"]);
    let file = scratch.write("file", "from outside").unwrap();
    done(runner, &["cp", file.to_str().unwrap(), "c:/etc/new"]);
    assert_eq!(done(runner, &["diff", "c"]), "C /etc\nA /etc/new");
    let out = scratch.join("out");
    done(runner, &["cp", "c:/etc/new", out.to_str().unwrap()]);
    assert_eq!(text(&out), "from outside");
    done(runner, &["cp", "c:/etc", scratch.path().to_str().unwrap()]);
    assert_eq!(text(&scratch.join("etc/motd")), "hello\n");

    let tar = runner.command(&["cp", "c:/etc/motd", "-"]).output().unwrap();
    assert!(tar.status.success(), "{tar:?}");
    let mut child = runner.command(&["cp", "-", "c:/srv"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
    assert!(child.wait().unwrap().success());
    done(runner, &["cp", "c:/srv/motd", scratch.join("again").to_str().unwrap()]);
    assert_eq!(text(&scratch.join("again")), "hello\n");

    let missing = refused(runner, 1, &["cp", "c:/nothing", out.to_str().unwrap()]);
    assert!(missing.contains("/nothing: no such file or folder"), "{missing}");
    refused(runner, 2, &["cp", "here", "there"]);
    refused(runner, 1, &["cp", "nobody:/etc/motd", out.to_str().unwrap()]);
}

#[test]
fn a_container_is_exported_as_a_tar_and_committed_as_an_image() {
    if !require_root() {
        return;
    }
    let (machine, scratch) = (Machine::new(), Scratch::new("export").unwrap());
    let runner = &machine.0;
    done(runner, &["create", "--name", "c", NAME, "/bin/true"]);
    let file = scratch.write("file", "added").unwrap();
    done(runner, &["cp", file.to_str().unwrap(), "c:/srv/added"]);
    let path = scratch.join("root.tar");
    done(runner, &["export", "-o", path.to_str().unwrap(), "c"]);
    let mut tar = tar::Archive::new(std::fs::File::open(&path).unwrap());
    let names: Vec<String> =
        tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    for name in ["bin/busybox", "etc/motd", "srv/added"] {
        assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
    }

    let id = done(runner, &["commit", "-q", "-c", "CMD [\"/bin/sh\"]", "-m", "why", "-a", "me", "c", "made"]);
    let shown = "{{.Id}} {{.Config.Cmd}} {{.Author}} {{.Comment}} {{len .RootFS.Layers}}";
    let told = done(runner, &["image", "inspect", "-f", shown, "localhost/made"]);
    assert_eq!(told, format!("{id} [/bin/sh] me why 2"));
    assert!(runner.run(&["check"]).status.success());
    let error = refused(runner, 1, &["rmi", NAME]);
    assert!(error.contains("is used by c"), "{error}");
    done(runner, &["rm", "c"]);
    done(runner, &["create", "--name", "c", "made"]);
    done(runner, &["cp", "c:/srv/added", scratch.join("out").to_str().unwrap()]);
    assert_eq!(text(&scratch.join("out")), "added");
}

#[test]
fn a_running_containers_links_lead_nowhere_outside_of_it() {
    if !require_root() {
        return;
    }
    let (machine, scratch) = (Machine::new(), Scratch::new("hostile").unwrap());
    let runner = &machine.0;
    done(runner, &["run", "-d", "--ulimit", "nofile=1024:1024", "--name", "c", NAME, "/bin/sleep", "1000"]);
    let outside = scratch.subfolder("outside").unwrap();
    let file = scratch.write("file", "content").unwrap();
    let link = outside.display().to_string();
    done(runner, &["exec", "c", "/bin/ln", "-s", &link, "/escape"]);
    done(runner, &["exec", "c", "/bin/ln", "-s", "/proc/1/root", "/magic"]);
    // There is no such folder in the container.
    refused(runner, 1, &["cp", file.to_str().unwrap(), "c:/escape/file"]);
    assert!(!runner.run(&["cp", file.to_str().unwrap(), "c:/magic/etc/file"]).status.success());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    done(runner, &["cp", file.to_str().unwrap(), "c:/etc/file"]);
    assert_eq!(done(runner, &["exec", "c", "/bin/cat", "/etc/file"]), "content");
    assert_eq!(done(runner, &["exec", "c", "/bin/stat", "-c", "%u:%g", "/etc/file"]), "0:0");
    // Copied as a link, not as what it leads to.
    done(runner, &["cp", "c:/escape", scratch.join("copy").to_str().unwrap()]);
    assert!(scratch.join("copy").is_symlink());
    done(runner, &["commit", "-q", "c", "while-it-runs"]);
    assert_eq!(done(runner, &["exec", "c", "/bin/cat", "/etc/motd"]), "hello");
}
