//! The OCI command, called as engines call it, and podman calling it.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with the command under its own name, a bundle and a folder for states.
struct Oci {
    folder: TempDir,
    id: String,
}

/// Tests of containers are root's; in CI a skip is a failure.
fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "tests of the OCI command need root: run them as root");
        let _told = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: containers of the OCI command need root\n",
        );
    }
    root
}

impl Oci {
    fn new(script: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("berth-oci-it-").tempdir().unwrap();
        let id = folder.path().file_name().unwrap().to_str().unwrap().to_owned();
        symlink(env!("CARGO_BIN_EXE_berth-runner"), folder.path().join("berth-oci")).unwrap();
        let bin = folder.path().join("bundle/rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in ["sh", "cat", "echo", "sleep", "id", "tty", "true"] {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let this = Self { folder, id };
        assert!(this.run(&["spec", "--bundle", this.path("bundle").to_str().unwrap()]).status.success());
        this.configure(|config| {
            config["process"]["terminal"] = json!(false);
            config["process"]["args"] = json!(["sh", "-c", script]);
        });
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, change: impl FnOnce(&mut Value)) {
        let file = self.path("bundle/config.json");
        let mut config = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        change(&mut config);
        fs::write(file, config.to_string()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("berth-oci"));
        command
            .arg("--root")
            .arg(self.path("states"))
            .args(["--log-format", "json", "--log"])
            .arg(self.path("log"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, where it has to go well.
    fn out(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Creates the container with its output in a file.
    fn create(&self, more: &[&str]) -> Output {
        let output = fs::File::create(self.path("output")).unwrap();
        let mut command = self.command(&["create", "--bundle", "bundle"]);
        command.args(more).arg(&self.id).stdout(output).stderr(Stdio::null());
        command.output().unwrap()
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.out(&["state", &self.id])).unwrap()
    }

    fn logged(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Oci {
    fn drop(&mut self) {
        self.run(&["delete", "--force", &self.id]);
    }
}

#[test]
fn the_oci_command_goes_through_a_containers_life() {
    if !root() {
        return;
    }
    let oci = Oci::new("echo up; sleep 100");
    let pid_file = oci.path("pid");
    assert!(oci.create(&["--pid-file", pid_file.to_str().unwrap()]).status.success());
    let state = oci.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"].to_string(), fs::read_to_string(&pid_file).unwrap());
    oci.out(&["start", &oci.id]);
    assert_eq!(oci.state()["status"], "running");
    assert_eq!(oci.out(&["list", "--quiet"]), format!("{}\n", oci.id));
    let listed: Value = serde_json::from_str(&oci.out(&["list", "--format", "json"])).unwrap();
    assert_eq!(listed[0]["id"], json!(oci.id));
    assert_eq!(oci.out(&["exec", &oci.id, "id", "-u"]), "0\n");
    assert_eq!(
        oci.out(&[
            "exec",
            "--user",
            "5:6",
            "--env",
            "A=b",
            "--cwd",
            "/bin",
            &oci.id,
            "sh",
            "-c",
            "id -u; echo $A; pwd"
        ]),
        "5\nb\n/bin\n"
    );
    assert_eq!(oci.run(&["exec", &oci.id, "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(oci.run(&["exec", &oci.id, "nothing"]).status.code(), Some(127));
    assert_eq!(oci.run(&["exec", &oci.id, "/bin"]).status.code(), Some(126));
    let processes: Vec<i32> = serde_json::from_str(&oci.out(&["ps", "--format", "json", &oci.id])).unwrap();
    assert!(
        processes.contains(&i32::try_from(oci.state()["pid"].as_i64().unwrap()).unwrap()),
        "{processes:?}"
    );
    let stats: Value = serde_json::from_str(&oci.out(&["events", "--stats", &oci.id])).unwrap();
    assert!(stats["data"]["pids"]["current"].as_u64().unwrap() >= 1, "{stats}");
    oci.out(&["pause", &oci.id]);
    assert_eq!(oci.state()["status"], "paused");
    oci.out(&["resume", &oci.id]);
    oci.out(&["update", "--pids-limit", "77", &oci.id]);
    let stats: Value = serde_json::from_str(&oci.out(&["events", "--stats", &oci.id])).unwrap();
    assert_eq!(stats["data"]["pids"]["limit"], 77);
    assert!(!oci.run(&["delete", &oci.id]).status.success(), "it runs");
    oci.out(&["kill", &oci.id, "KILL"]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while oci.state()["status"] != "stopped" {
        assert!(std::time::Instant::now() < end, "it ends");
    }
    assert_eq!(oci.state()["pid"], 0);
    assert!(!oci.run(&["kill", &oci.id]).status.success());
    oci.out(&["delete", &oci.id]);
    assert!(!oci.run(&["state", &oci.id]).status.success());
    oci.out(&["delete", "--force", &oci.id]);
    assert_eq!(fs::read_to_string(oci.path("output")).unwrap(), "up\n");
}

#[test]
fn run_in_the_foreground_ends_as_the_program_does_and_leaves_nothing() {
    if !root() {
        return;
    }
    let oci = Oci::new("echo out; echo err >&2; exit 9");
    let output = oci.run(&["run", "--bundle", "bundle", &oci.id]);
    assert_eq!(output.status.code(), Some(9));
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(oci.out(&["list", "--quiet"]), "");
    oci.configure(|config| config["process"]["args"] = json!(["nothing"]));
    assert_eq!(oci.run(&["run", "--bundle", "bundle", &oci.id]).status.code(), Some(127));
    assert_eq!(oci.out(&["list", "--quiet"]), "");
}

#[test]
fn errors_are_written_where_engines_read_them() {
    if !root() {
        return;
    }
    let oci = Oci::new("true");
    oci.configure(|config| config["process"]["cwd"] = json!("here"));
    assert!(!oci.create(&[]).status.success());
    oci.configure(|config| {
        config["process"]["cwd"] = json!("/");
        config["process"]["args"] = json!(["nothing"]);
    });
    assert!(!oci.create(&[]).status.success());
    let logged = oci.logged();
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert_eq!(logged[0]["level"], "error");
    assert!(
        logged[0]["msg"].as_str().unwrap().contains("process.cwd: \"here\" is not absolute"),
        "{logged:?}"
    );
    // podman tells 127 from 125 by these words.
    assert!(logged[1]["msg"].as_str().unwrap().contains("executable file not found in $PATH"), "{logged:?}");
}

#[test]
fn the_runtime_says_what_it_can() {
    let oci = Oci::new("true");
    let features: Value = serde_json::from_str(&oci.out(&["features"])).unwrap();
    assert_eq!(features["hooks"].as_array().unwrap().len(), 6);
    assert_eq!(features["linux"]["namespaces"].as_array().unwrap().len(), 8);
    assert!(oci.out(&["--version"]).starts_with("berth-oci "));
    let direct = Command::new(env!("CARGO_BIN_EXE_berth-runner")).args(["oci", "features"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&direct.stdout).unwrap(), features);
    assert!(
        !oci.run(&["spec", "--bundle", "bundle"]).status.success(),
        "a configuration is not written over"
    );
}

/// podman with folders of its own, and this runtime.
struct Podman<'a>(&'a Oci);

impl Podman<'_> {
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let folder = |name: &str| self.0.path(name).to_str().unwrap().to_owned();
        // Limits that any user has: podman's own are refused to a root without CAP_SYS_RESOURCE.
        fs::write(
            folder("containers.conf"),
            "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=1000:1000\"]\n",
        )
        .unwrap();
        let output = Command::new("podman")
            .args(["--root", &folder("p-root"), "--runroot", &folder("p-run"), "--tmpdir", &folder("p-tmp")])
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime", &folder("berth-oci")])
            .args(arguments)
            .env("CONTAINERS_CONF", folder("containers.conf"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn out(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, Some(0), "podman {arguments:?}: {err}");
        out
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        // Where the test failed: containers hold mounts in the folder.
        self.run(&["rm", "--all", "--force", "--time", "0"]);
    }
}

#[test]
fn podman_runs_containers_by_this_runtime() {
    if !root() {
        return;
    }
    if Command::new("podman").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "podman is not installed");
        return;
    }
    let oci = Oci::new("true");
    let podman = Podman(&oci);
    let archive = oci.path("root.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(oci.path("bundle/rootfs")).arg("-cf").arg(&archive).arg(".");
    assert!(tar.status().unwrap().success());
    podman.out(&["import", archive.to_str().unwrap(), "box:1"]);
    let run = ["run", "--rm", "--network=none", "box:1"];
    let with = |more: &[&'static str]| podman.run(&[&run[..], more].concat());
    assert_eq!(with(&["sh", "-c", "echo hi; exit 5"]).0, Some(5));
    assert_eq!(with(&["nothing"]).0, Some(127));
    assert_eq!(with(&["/bin"]).0, Some(126));
    let volume = format!("{}:/mnt:ro", oci.path("bundle").display());
    podman.out(&[
        "run",
        "-d",
        "--name",
        "one",
        "--network=none",
        "--memory=64m",
        "-v",
        &volume,
        "box:1",
        "sleep",
        "100",
    ]);
    assert_eq!(
        podman.out(&["exec", "one", "cat", "/mnt/config.json"]),
        fs::read_to_string(oci.path("bundle/config.json")).unwrap()
    );
    assert_eq!(podman.run(&["exec", "one", "sh", "-c", "exit 6"]).0, Some(6));
    assert_eq!(podman.run(&["exec", "one", "nothing"]).0, Some(127));
    assert_eq!(podman.out(&["exec", "-t", "one", "tty"]), "/dev/pts/0\r\n");
    podman.out(&["pause", "one"]);
    assert_eq!(podman.out(&["inspect", "--format", "{{.State.Status}}", "one"]), "paused\n");
    podman.out(&["unpause", "one"]);
    podman.out(&["stop", "-t", "0", "one"]);
    assert_eq!(podman.out(&["wait", "one"]), "137\n", "the exit file");
    podman.out(&["rm", "one"]);
    assert_eq!(podman.out(&["run", "--rm", "--network=none", "-t", "box:1", "tty"]), "/dev/pts/0\r\n");
    let mapped =
        ["run", "--rm", "--network=none", "--uidmap=0:100000:1000", "--gidmap=0:100000:1000", "box:1"];
    let map = podman.out(&[&mapped[..], &["cat", "/proc/self/uid_map"]].concat());
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "1000"]);
    podman.out(&["rmi", "-f", "box:1"]);
}
