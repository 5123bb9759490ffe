//! The root as a container sees it, made in a copy of the test's process with namespaces of its own. They need root.

use std::{
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
    },
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder, Spec};
use rustix::thread::UnshareFlags;
use serde_json::{Value, json};

use super::{Rootfs, RootfsOf};
use crate::{
    Cgroup, CgroupDriver,
    sys::testing::{alone, become_root_of, in_child, unshare},
};

/// A bundle in a folder of its own.
struct Bundle {
    folder: tempfile::TempDir,
    config: Value,
    user_namespace: Option<OwnedFd>,
    no_pivot: bool,
}

impl Bundle {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rootfs")).unwrap();
        let config = json!({
            "ociVersion": "1.2.0",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["true"], "cwd": "/"},
            "root": {"path": "rootfs", "readonly": false},
            "mounts": [],
            "linux": {"namespaces": [{"type": "mount"}], "maskedPaths": [], "readonlyPaths": [], "devices": []},
        });
        Self { folder, config, user_namespace: None, no_pivot: false }
    }

    fn rootfs(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    fn mount(mut self, mount: Value) -> Self {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
        self
    }

    fn linux(mut self, field: &str, value: Value) -> Self {
        self.config["linux"][field] = value;
        self
    }

    fn spec(&self) -> Spec {
        serde_json::from_value(self.config.clone()).unwrap()
    }

    /// What `look` sees in the container, or the error on the way there.
    fn run(&self, look: impl FnOnce() -> String) -> Result<String, String> {
        assert!(rustix::process::geteuid().is_root(), "this test makes mounts: run it as root");
        let spec = self.spec();
        let cgroup = Group::new();
        let plan = Rootfs::plan(&RootfsOf {
            bundle: self.folder.path(),
            spec: &spec,
            cgroup: &cgroup.0,
            user_namespace: self.user_namespace.as_ref().map(AsFd::as_fd),
            no_pivot: self.no_pivot,
        })
        .map_err(|error| error.to_string())?;
        in_child(AssertUnwindSafe(|| {
            if let Some(namespace) = &self.user_namespace {
                become_root_of(namespace.as_fd());
            }
            unshare(UnshareFlags::NEWNS | UnshareFlags::NEWIPC);
            let made = plan.mount().and_then(|()| plan.pivot()).and_then(|()| plan.seal());
            made.map_or_else(|error| panic!("{error}"), |()| look())
        }))
    }
}

/// A control group of the test's own.
struct Group(Cgroup);

impl Group {
    fn new() -> Self {
        let id = format!("rootfs-test-{}", std::process::id());
        Self(Cgroup::create(CgroupDriver::Folder, None, &id, None).unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.0.delete().unwrap();
    }
}

/// Ids of the container from 0 on are these of the machine.
fn ids(first: u32) -> Vec<LinuxIdMapping> {
    vec![
        LinuxIdMappingBuilder::default().container_id(0_u32).host_id(first).size(65_536_u32).build().unwrap(),
    ]
}

fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

mod attributes;
mod covers;
mod devices;
mod hostile;
mod kinds;
mod older_kernels;
mod user_namespaces;

/// The fields of /proc/self/mountinfo for a mount point: options, optional fields, type.
fn mounted(at: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().rev().find(|line| line.split(' ').nth(4) == Some(at)).map(str::to_owned)
}

fn proc() -> Value {
    json!({"destination": "/proc", "type": "proc", "source": "proc"})
}

#[test]
fn a_root_has_its_mounts_and_nothing_of_the_host() {
    alone(|| {
        let bundle = Bundle::new()
            .mount(proc())
            .mount(json!({"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=64k"]}))
            .mount(json!({"destination": "/dev/pts", "type": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}))
            .mount(json!({"destination": "/dev/mqueue", "type": "mqueue", "options": ["nosuid", "noexec", "nodev"]}))
            .mount(json!({"destination": "/sys", "type": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}));
        fs::write(bundle.rootfs().join("here"), "yes").unwrap();
        let seen = bundle
            .run(|| {
                assert!(mounted("/dev").unwrap().contains("rw,nosuid"), "{:?}", mounted("/dev"));
                assert!(mounted("/sys").unwrap().contains("ro,nosuid,nodev,noexec"));
                assert!(mounted("/dev/pts").unwrap().contains("ptmxmode=666"));
                assert!(fs::write("/sys/kernel/profiling", "0").is_err());
                let null = fs::metadata("/dev/null").unwrap();
                assert!(null.file_type().is_char_device() && null.permissions().mode() & 0o777 == 0o666);
                assert_eq!(fs::read_link("/dev/ptmx").unwrap(), Path::new("pts/ptmx"));
                let devices: Vec<String> = names("/dev").into_iter().filter(|name| name != "core").collect();
                format!("{:?} {devices:?}", names("/"))
            })
            .unwrap();
        assert_eq!(
            seen,
            r#"["dev", "here", "proc", "sys"] ["fd", "full", "mqueue", "null", "ptmx", "pts", "random", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]"#
        );
    });
}
