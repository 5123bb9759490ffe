//! Bundles of busybox, and what containers made of them say.

use std::{
    fs::{self, File},
    os::{
        fd::AsFd,
        unix::fs::{PermissionsExt, symlink},
    },
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use berth_runtime::{
    CgroupDriver, Container, ContainerId, Create, Exec, Runtime, RuntimeError, Started, Stdio,
};
use oci_spec::runtime::Spec;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Begins the names of this process's folders and containers, so that what is left of them is found, and not taken for
/// that of the same tests beside it.
pub(crate) fn prefix() -> String {
    format!("berthcore-{}-", std::process::id())
}

const APPLETS: [&str; 25] = [
    "cat", "chmod", "date", "echo", "env", "false", "grep", "head", "hostname", "id", "ip", "kill", "ls",
    "mkdir", "ps", "pwd", "readlink", "sh", "sleep", "stat", "stty", "touch", "true", "tty", "mount",
];

/// A folder with a bundle, a folder for states, and containers that are deleted when it is dropped.
pub(crate) struct Bundle {
    pub(crate) folder: TempDir,
    pub(crate) id: ContainerId,
    pub(crate) config: Value,
}

/// How a program ended and what it wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A shell script in namespaces of its own, but for the user and time namespaces.
pub(crate) fn config(script: &str) -> Value {
    let namespaces: Vec<Value> =
        ["pid", "ipc", "uts", "mount", "cgroup", "network"].map(|kind| json!({"type": kind})).to_vec();
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {
            "cwd": "/",
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": true,
            "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
        ],
        "linux": {"namespaces": namespaces},
    })
}

impl Bundle {
    pub(crate) fn new(script: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::Builder::new().prefix(&prefix()).tempdir().unwrap();
        // Ordinary users run containers from it too.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bin = folder.path().join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        // Users of namespaces of their own can make nothing in a root that is root's.
        for name in ["etc", "proc", "dev", "tmp"] {
            fs::create_dir(folder.path().join("rootfs").join(name)).unwrap();
        }
        fs::write(
            folder.path().join("rootfs/etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv/web:/bin/sh\n",
        )
        .unwrap();
        if fs::hard_link("/bin/busybox", bin.join("busybox")).is_err() {
            fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        }
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}{number}", prefix()).parse().unwrap();
        Self { folder, id, config: config(script) }
    }

    /// Changes a field of the configuration.
    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        self.set(pointer, value);
        self
    }

    pub(crate) fn set(&mut self, pointer: &str, value: Value) {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = self.config.pointer_mut(parent).unwrap();
        match (parent, name.parse::<usize>()) {
            (Value::Array(list), Ok(at)) if at < list.len() => list[at] = value,
            (Value::Array(list), _) => list.push(value),
            (parent, _) => parent[name] = value,
        }
    }

    pub(crate) fn add_namespace(&mut self, namespace: Value) {
        let namespaces = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|other| other["type"] != namespace["type"]);
        namespaces.push(namespace);
    }

    pub(crate) fn remove_namespace(&mut self, kind: &str) {
        self.config["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .retain(|namespace| namespace["type"] != kind);
    }

    pub(crate) fn runtime(&self) -> Runtime {
        Runtime {
            root: self.folder.path().join("states"),
            cgroups: CgroupDriver::Folder,
            seccomp_cache: None,
        }
    }

    pub(crate) fn spec(&self) -> Spec {
        serde_json::from_value(self.config.clone()).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration, for a caller in another process.
    pub(crate) fn write(&self) {
        fs::write(self.path("config.json"), self.config.to_string()).unwrap();
    }

    pub(crate) fn create_with(&self, stdio: Stdio<'_>) -> Result<(Container, Started), RuntimeError> {
        self.runtime().create(&Create {
            id: &self.id,
            bundle: self.folder.path(),
            spec: &self.spec(),
            stdio,
            preserve_fds: 0,
            no_pivot: false,
            no_new_keyring: false,
            detached: true,
        })
    }

    fn files(&self) -> [File; 3] {
        [
            File::open("/dev/null").unwrap(),
            File::create(self.path("out")).unwrap(),
            File::create(self.path("err")).unwrap(),
        ]
    }

    pub(crate) fn create(&self) -> Result<(Container, Started), RuntimeError> {
        let [input, output, error] = self.files();
        self.create_with(Stdio::Files([input.as_fd(), output.as_fd(), error.as_fd()]))
    }

    /// Created and started.
    pub(crate) fn start(&self) -> (Container, Started) {
        let (container, started) = self.create().unwrap();
        container.start().unwrap();
        (container, started)
    }

    /// From creation to deletion.
    pub(crate) fn run(&self) -> Said {
        let (container, started) = self.start();
        let code = wait(&started);
        let said = self.said(code);
        assert!(container.delete(false).unwrap().is_empty());
        said
    }

    fn said(&self, code: i32) -> Said {
        let text = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        Said { code, out: text("out"), err: text("err") }
    }

    /// A process like the container's own, with another script.
    pub(crate) fn process(&self, script: &str) -> Value {
        let mut process = self.config["process"].clone();
        process["args"] = json!(["sh", "-c", script]);
        process
    }

    /// Runs a further process to its end.
    pub(crate) fn exec(&self, container: &Container, process: &Value) -> Result<Said, RuntimeError> {
        let [input, output, error] = self.files();
        let process = serde_json::from_value(process.clone()).unwrap();
        let stdio = Stdio::Files([input.as_fd(), output.as_fd(), error.as_fd()]);
        let started = container.exec(&Exec { process: &process, stdio, preserve_fds: 0 })?;
        let code = wait(&started);
        Ok(self.said(code))
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Ok(container) = self.runtime().open(&self.id) {
            let deleted = container.delete(true);
            if !std::thread::panicking() {
                deleted.unwrap();
            }
        }
        // Those that were not waited for, because the test failed or had no need to know.
        while let Ok(Some(_)) = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {}
    }
}

/// How it ended: its code, or its signal as a negative number.
pub(crate) fn wait(started: &Started) -> i32 {
    let status =
        rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(started.pidfd.as_fd()), WaitIdOptions::EXITED));
    let status = status.unwrap().unwrap();
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| -signal)).unwrap()
}
