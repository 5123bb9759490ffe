//! What a container's root protects, asked from inside containers that the runtime made. They need root and Debian's
//! busybox-static.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::program::Runner;

/// A bundle with a shell, and where its container's state goes.
struct Bundle {
    folder: tempfile::TempDir,
    config: Value,
}

impl Bundle {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bin = folder.path().join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
        let config = json!({
            "ociVersion": "1.2.0",
            "process": {
                "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/bin"], "args": [],
                "capabilities": {}, "noNewPrivileges": true,
            },
            "root": {"path": "rootfs", "readonly": false},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/sys", "type": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"]},
            ],
            "linux": {
                "namespaces": [
                    {"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "network"},
                    {"type": "cgroup"},
                ],
                "maskedPaths": ["/proc/kcore", "/proc/interrupts", "/sys/firmware"],
                "readonlyPaths": ["/proc/sys"],
            },
        });
        Self { folder, config }
    }

    fn rootfs(&self) -> PathBuf {
        self.folder.path().join("rootfs")
    }

    /// What a shell in the container prints, both streams.
    fn sh(&mut self, script: &str) -> Result<String, String> {
        assert!(fs::metadata("/proc/self").unwrap().uid() == 0, "this test makes containers: run it as root");
        self.config["process"]["args"] = json!(["/bin/busybox", "sh", "-c", format!("exec 2>&1; {script}")]);
        fs::write(self.folder.path().join("config.json"), self.config.to_string()).unwrap();
        let id = format!("it{}", self.folder.path().file_name().unwrap().display());
        let state = self.folder.path().join("state");
        let output = Runner::new()
            .command(&["oci", "--root"])
            .arg(&state)
            .args(["run", "--bundle"])
            .arg(self.folder.path())
            .arg(&id)
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(fs::read_dir(&state).map_or(0, Iterator::count), 0, "{errors}");
        if printed.is_empty() { Err(errors) } else { Ok(printed) }
    }
}

#[test]
fn a_container_cannot_raise_its_own_memory_limit() {
    let mut bundle = Bundle::new();
    bundle.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}});
    // With these the files' modes protect nothing: the mount does.
    let all = json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER"]);
    bundle.config["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    let seen = bundle
        .sh(
            "cd /sys/fs/cgroup; for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory.max; do \
             test -e $file && { busybox echo 999999999 > $file; busybox cat $file; }; done; \
             busybox mkdir memory/child child; for file in */*; do test -f $file && ( : >> $file ) 2> /dev/null && busybox echo writable $file; done",
        )
        .unwrap();
    assert!(seen.contains("Read-only file system"), "{seen}");
    assert!(seen.contains(&(64 << 20).to_string()) && !seen.contains("999999"), "{seen}");
    assert!(!seen.contains("writable"), "{seen}");
}

#[test]
fn u14_a_container_of_an_image_whose_dev_is_a_link_changes_nothing_on_the_host() {
    let mut bundle = Bundle::new();
    let outside = bundle.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, bundle.rootfs().join("dev")).unwrap();
    let seen = bundle.sh("busybox ls /dev; echo words > /dev/null; busybox touch /dev/mine").unwrap();
    assert!(seen.contains("null\n") && seen.contains("urandom\n"), "{seen}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let mut bundle = Bundle::new();
    symlink("/sys", bundle.rootfs().join("proc")).unwrap();
    let error = bundle.sh("true").unwrap_err();
    assert!(error.contains("mounts[0].destination: /proc is a symbolic link"), "{error}");
}

#[test]
fn masked_and_read_only_paths_hold_for_a_container() {
    let mut bundle = Bundle::new();
    let seen = bundle
        .sh("busybox wc -c < /proc/interrupts; busybox stat -c '%F %t:%T' /proc/interrupts; \
             echo x > /proc/sys/kernel/hostname; echo x > /proc/sys/kernel/domainname; \
             busybox readlink /proc/self/root; busybox ls /../..")
        .unwrap();
    assert!(seen.starts_with("0\ncharacter special file 1:3\n"), "{seen}");
    assert_eq!(seen.matches("Read-only file system").count(), 2, "{seen}");
    assert!(seen.ends_with("/\nbin\ndev\nproc\nsys\n"), "{seen}");
}

#[test]
fn a_container_with_mapped_ids_sees_an_id_mapped_bind_as_its_own() {
    let mut bundle = Bundle::new();
    let ids = json!([{"containerID": 0, "hostID": 800_000, "size": 65_536}]);
    bundle.config["linux"]["uidMappings"] = ids.clone();
    bundle.config["linux"]["gidMappings"] = ids;
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    let source = bundle.folder.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o700)).unwrap();
    for (name, options) in [("mapped", json!(["bind", "idmap"])), ("plain", json!(["bind"]))] {
        let mount = json!({"destination": format!("/{name}"), "source": "source", "options": options});
        bundle.config["mounts"].as_array_mut().unwrap().push(mount);
    }
    chown(bundle.rootfs(), Some(800_000), Some(800_000)).unwrap();
    let seen =
        bundle.sh("busybox touch /mapped/new; busybox stat -c '%u:%g' /mapped /mapped/new /plain").unwrap();
    assert_eq!(seen, "0:0\n0:0\n65534:65534\n");
    let kept = fs::metadata(source.join("new")).unwrap();
    assert_eq!(kept.uid(), 0);
}

#[test]
fn mounts_of_a_container_stay_in_it() {
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut bundle = Bundle::new();
    let all = json!(["CAP_SYS_ADMIN"]);
    bundle.config["process"]["capabilities"] = json!({"bounding": all, "effective": all, "permitted": all});
    let seen = bundle
        .sh("busybox mkdir /m; busybox mount -t tmpfs t /m && busybox cat /proc/self/mountinfo")
        .unwrap();
    assert!(seen.contains(" /m "), "{seen}");
    assert!(!seen.contains("shared:"), "{seen}");
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    assert!(bundle.rootfs().join("m").is_dir());
}

#[test]
fn an_ordinary_user_gets_a_root_in_a_user_namespace_with_what_the_host_has() {
    let nobody = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = nobody.lines().find(|line| line.starts_with("nobody:")).expect("the user nobody");
    let ids: Vec<u32> = nobody.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
    let mut bundle = Bundle::new();
    let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    bundle.config["linux"]["uidMappings"] = map(ids[0]);
    bundle.config["linux"]["gidMappings"] = map(ids[1]);
    // The network is the host's, whose sysfs a user namespace cannot mount; group 5 has no id in it.
    bundle.config["linux"]["namespaces"] =
        json!([{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "user"}]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["type"] != "cgroup");
    mounts.push(json!({"destination": "/dev/pts", "type": "devpts", "options": ["newinstance", "mode=0620", "gid=5"]}));
    mounts.push(
        json!({"destination": "/source", "source": "source", "options": ["rbind", "rw", "dev", "suid"]}),
    );
    bundle.config["process"]["args"] = json!([
        "/bin/busybox",
        "sh",
        "-c",
        "exec 2>&1; busybox id -u; echo x > /dev/null; busybox touch /source/new; echo x > /sys/kernel/profiling; \
         busybox grep -c ' /dev/pts ' /proc/self/mountinfo; busybox wc -c < /proc/interrupts"
    ]);
    let folder = bundle.folder.path();
    fs::write(folder.join("config.json"), bundle.config.to_string()).unwrap();
    fs::create_dir(folder.join("source")).unwrap();
    fs::create_dir(folder.join("state")).unwrap();
    // Where that user may reach it.
    fs::copy(env!("CARGO_BIN_EXE_berth-runner"), folder.join("runner")).unwrap();
    for path in ["", "rootfs", "rootfs/bin", "source", "state"] {
        chown(folder.join(path), Some(ids[0]), Some(ids[1])).unwrap();
    }
    let output = std::process::Command::new("runuser")
        .args(["-u", "nobody", "--"])
        .arg(folder.join("runner"))
        .args(["oci", "--root"])
        .arg(folder.join("state"))
        .args(["run", "--bundle"])
        .arg(folder)
        .arg("an-ordinary-users")
        .output()
        .unwrap();
    let seen = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        seen,
        "0\nsh: can't create /sys/kernel/profiling: Read-only file system\n1\n0\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(fs::metadata(folder.join("source/new")).unwrap().uid(), ids[0]);
}
