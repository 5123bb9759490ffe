//! `cp` and what is mounted in containers.

use std::{fs, io::Write, path::Path, process::Stdio};

use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::{Image, NONE};

/// An image, a folder of the machine with some in it, and a container that has volumes, folders and memory.
struct Scene {
    image: Image,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Option<Self> {
        let image = Image::new()?;
        let folder = tempfile::tempdir().unwrap();
        for name in ["bound", "protected", "outside"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("file"), name).unwrap();
        }
        fs::write(folder.path().join("new"), "from outside").unwrap();
        Some(Self { image, folder })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn make(&self, verb: &[&str], program: &[&str]) {
        let (bound, protected) =
            (format!("{}:/bound", self.path("bound")), format!("{}:/protected:ro", self.path("protected")));
        let mounts = [
            "-v",
            "data:/srv/seed",
            "-v",
            "other:/not/there",
            "-v",
            &bound,
            "-v",
            &protected,
            "--tmpfs",
            "/mem",
        ];
        self.image.ok(&[verb, &["--name", "c"], &NONE, &mounts, &["test:latest"], program].concat());
    }

    /// What a path of the container holds, by `cp`.
    fn read(&self, path: &str) -> String {
        let out = self.path("out");
        self.image.ok(&["cp", "-L", &format!("c:{path}"), &out]);
        let text = fs::read_to_string(&out).unwrap();
        fs::remove_file(&out).unwrap();
        text
    }

    fn write(&self, path: &str) {
        self.image.ok(&["cp", &self.path("new"), &format!("c:{path}")]);
    }

    fn refused(&self, arguments: &[&str], why: &str) {
        let output = self.image.0.run(&[&["cp"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{arguments:?}: {output:?}");
    }

    /// What is the same whether the container runs or not.
    fn everywhere(&self) {
        assert_eq!(self.read("/srv/seed/file"), "seed", "a volume");
        assert_eq!(self.read("/bound/file"), "bound", "a folder of the machine");
        for path in ["/srv/seed/new", "/not/there/new", "/bound/new", "/etc/new"] {
            self.write(path);
            assert_eq!(self.read(path), "from outside", "{path}");
        }
        assert_eq!(fs::read_to_string(self.path("bound/new")).unwrap(), "from outside");
        assert_eq!(self.read("/protected/file"), "protected");
        self.refused(&[&self.path("new"), "c:/protected/new"], "Read-only");
        assert!(!Path::new(&self.path("protected/new")).exists());
        // A folder brings along what is mounted in it.
        let copy = self.path("copy");
        self.image.ok(&["cp", "c:/srv", &copy]);
        assert_eq!(fs::read_to_string(format!("{copy}/seed/new")).unwrap(), "from outside");
        fs::remove_dir_all(&copy).unwrap();
        // Links of the container's making lead through it and its mounts, and not out of it.
        assert_eq!(self.read("/way/file"), "seed");
        assert!(self.read("/srv/seed/passwd").contains("web:x:33"), "the container's, and not the machine's");
        self.write("/bound/back/through");
        assert_eq!(self.read("/srv/seed/through"), "from outside");
        self.refused(&[&self.path("new"), "c:/srv/seed/escape/new"], "no such");
        self.refused(&["c:/srv/seed/escape/file", &self.path("stolen")], "no such");
        self.refused(&[&self.path("new"), "c:/srv/seed/up/new"], "no such");
        assert_eq!(fs::read_dir(self.path("outside")).unwrap().count(), 1);
        // By a tar, both ways.
        let tar = self.image.0.run(&["cp", "c:/srv/seed/new", "-"]);
        assert!(tar.status.success(), "{tar:?}");
        let mut child = self.image.0.command(&["cp", "-", "c:/bound"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(fs::read_to_string(self.path("bound/new")).unwrap(), "from outside");
    }

    /// Links that a container has made.
    fn links(&self) -> String {
        format!(
            "ln -s /srv/seed /way; ln -s /etc/passwd /srv/seed/passwd; ln -s /srv/seed /bound/back; \
             ln -s {} /srv/seed/escape; ln -s ../../../../../../..{} /srv/seed/up",
            self.path("outside"),
            self.path("outside")
        )
    }
}

#[test]
fn files_go_into_volumes_folders_and_memory_of_a_running_container_and_out_again() {
    let Some(scene) = Scene::new() else { return };
    let script = format!("{}; echo kept > /mem/file; touch /tmp/ready; exec sleep 1000", scene.links());
    scene.make(&["run", "-d"], &["sh", "-c", &script]);
    crate::supervisor::until("it is ready", || {
        scene.image.0.run(&["exec", "c", "ls", "/tmp/ready"]).status.success()
    });
    scene.everywhere();
    assert_eq!(scene.read("/mem/file"), "kept\n");
    scene.write("/mem/new");
    let inside = |script: &str| scene.image.ok(&["exec", "c", "sh", "-c", script]);
    assert_eq!(inside("cat /mem/new; stat -c %u:%g /mem/new /srv/seed/new"), "from outside0:0\n0:0");
    // The kernel's own files are not carried along with everything else.
    let all = scene.image.0.run(&["cp", "c:/", "-"]);
    assert!(all.status.success(), "{:?}", String::from_utf8_lossy(&all.stderr));
    let mut tar = tar::Archive::new(all.stdout.as_slice());
    let names: Vec<String> =
        tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    let has =
        |name: &str| names.iter().any(|known| known.trim_start_matches("./").trim_end_matches('/') == name);
    assert!(has("srv/seed/new") && has("mem/new") && has("proc") && has("sys"), "{names:?}");
    assert!(!has("proc/1") && !has("proc/self") && !has("sys/kernel"));
    assert!(scene.read("/proc/1/status").is_empty(), "it has no size, and is there");
    scene.image.ok(&["rm", "--force", "-t", "0", "c"]);
}

#[test]
fn a_container_that_does_not_run_is_copied_with_its_volumes_and_folders() {
    let Some(scene) = Scene::new() else { return };
    scene.make(&["create"], &["sh", "-c", &scene.links()]);
    // Before the first start volumes are filled, and places are made.
    assert_eq!(scene.read("/srv/seed/file"), "seed");
    scene.write("/not/there/early");
    scene.image.ok(&["start", "c"]);
    assert_eq!(scene.image.ok(&["wait", "c"]), "0");
    assert_eq!(scene.read("/not/there/early"), "from outside");
    scene.everywhere();
    scene.image.ok(&["rm", "c"]);
    // What was written is the volume's, as its next container sees it.
    let run = ["run", "--rm", "-v", "data:/d", "test:latest", "stat", "-c", "%u:%g", "/d/new"];
    assert_eq!(scene.image.ok(&[&run[..1], &NONE, &run[1..]].concat()), "0:0");
}

#[test]
fn files_belong_to_the_container_s_user_unless_owners_are_kept() {
    let Some(scene) = Scene::new() else { return };
    std::os::unix::fs::chown(scene.path("new"), Some(50), Some(60)).unwrap();
    scene.make(&["run", "-d", "-u", "web"], &["sleep", "1000"]);
    let new = scene.path("new");
    let owner = |path: &str| scene.image.ok(&["exec", "-u", "0", "c", "stat", "-c", "%u:%g", path]);
    for (flags, wanted) in [(&[][..], "33:34"), (&["--archive"], "50:60")] {
        for path in ["/etc/new", "/srv/seed/new"] {
            scene.image.ok(&[&["cp"], flags, &[&new, &format!("c:{path}")]].concat());
            assert_eq!(owner(path), wanted, "{path}");
        }
    }
    scene.image.ok(&["stop", "-t", "0", "c"]);
    scene.image.ok(&["cp", &new, "c:/etc/new"]);
    scene.image.ok(&["start", "c"]);
    assert_eq!(owner("/etc/new"), "33:34", "by a copy while it did not run");
    scene.image.ok(&["rm", "--force", "-t", "0", "c"]);
}

#[test]
fn attributes_go_along_and_capabilities_with_their_owners_only() {
    let Some(scene) = Scene::new() else { return };
    scene.make(&["create"], &["true"]);
    let source = scene.path("new");
    // CAP_NET_RAW, permitted and effective.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set = |name: &str, value: &[u8]| setxattr(&source, name, value, XattrFlags::empty()).unwrap();
    set("user.note", b"hello");
    set("user.odd=%name", b"\0\n");
    set("security.capability", &capability);
    let folder = scene.path("bound");
    setxattr(&folder, "user.of-a-folder", b"x", XattrFlags::empty()).unwrap();
    let has = |path: &str, name: &str| {
        let mut value = [0; 64];
        getxattr(path, name, &mut value[..]).ok().map(|length| value[..length].to_vec())
    };
    let out = scene.path("back");
    scene.image.ok(&["cp", &source, "c:/etc/new"]);
    scene.image.ok(&["cp", "c:/etc/new", &out]);
    assert_eq!(has(&out, "user.note").as_deref(), Some(&b"hello"[..]));
    assert_eq!(has(&out, "user.odd=%name").as_deref(), Some(&b"\0\n"[..]));
    assert_eq!(
        has(&out, "security.capability"),
        None,
        "the caller's file is not to have what the container chose"
    );
    scene.image.ok(&["cp", "--archive", &source, "c:/etc/new"]);
    scene.image.ok(&["cp", "--archive", "c:/etc/new", &out]);
    assert_eq!(has(&out, "security.capability").as_deref(), Some(&capability[..]));
    scene.image.ok(&["cp", &folder, "c:/srv/folder"]);
    scene.image.ok(&["cp", "c:/srv/folder", &scene.path("folder")]);
    assert_eq!(has(&scene.path("folder"), "user.of-a-folder").as_deref(), Some(&b"x"[..]));
    scene.image.ok(&["rm", "c"]);
}
