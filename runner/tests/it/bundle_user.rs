//! Containers of an ordinary user.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

/// A user of every Debian that runs nothing.
pub(crate) const USER: (&str, u32, u32) = ("games", 5, 60);

/// Subordinate ids for that user while this lives.
pub(crate) struct SubordinateIds {
    _lock: fs::File,
}

const FILES: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

impl SubordinateIds {
    fn line() -> String {
        format!("{}:1000000000:65536", USER.0)
    }

    pub(crate) fn new() -> Self {
        // Not a file of its own, which one test would remove while another waits for it.
        let lock = fs::File::open("/etc").unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        let made = Self { _lock: lock };
        // Left by a test that was killed.
        made.take_away();
        for path in FILES {
            let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
            writeln!(file, "{}", Self::line()).unwrap();
        }
        made
    }

    pub(crate) fn take_away(&self) {
        for path in FILES {
            let text = fs::read_to_string(path).unwrap_or_default();
            let kept: String =
                text.lines().filter(|line| **line != *Self::line()).map(|line| format!("{line}\n")).collect();
            if kept != text {
                fs::write(path, kept).unwrap();
            }
        }
    }
}

impl Drop for SubordinateIds {
    fn drop(&mut self) {
        self.take_away();
    }
}

/// The user's folders, with the program and an image in them.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Option<Self> {
        Self::with(|_| ())
    }

    /// With an image whose root was changed.
    pub(crate) fn with(change: impl FnOnce(&Path)) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "needs root, to be another user");
            eprintln!("skipped: needs root, to be another user");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("berth-user-it-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let home = Self { folder };
        fs::create_dir(home.path("home")).unwrap();
        chown(home.path("home"), Some(USER.1), Some(USER.2)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_berth-runner"), home.path("berth-runner")).unwrap();
        let root = home.path("image");
        fs::create_dir(&root).unwrap();
        super::bundle::image_root(&root);
        change(&root);
        let tar = Command::new("tar")
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(home.path("image.tar"))
            .arg(".")
            .status()
            .unwrap();
        assert!(tar.success());
        Some(home)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with arguments, as the user, not started yet.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &USER.1.to_string(), "--regid", &USER.2.to_string(), "--clear-groups"]);
        command
            .arg(self.path("berth-runner"))
            .args(words)
            .current_dir(self.path("home"))
            .stdin(Stdio::null());
        command
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("home"))
            .env_remove("XDG_DATA_HOME");
        command.env_remove("BERTH_RUNNER_ROOT").env_remove("BERTH_RUNNER_RUNROOT");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn import(&self) {
        self.ok(&["import", self.path("image.tar").to_str().unwrap(), "test:latest"]);
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.run(&["rm", "--all", "--force"]);
    }
}

fn line(text: &str, name: &str) -> String {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name}: {text}")).trim().to_owned()
}

#[test]
fn a_user_runs_containers_as_nobody_but_that_user() {
    let Some(home) = Home::new() else { return };
    let _ids = SubordinateIds::new();
    home.import();
    let map = home.ok(&["unshare", "cat", "/proc/self/uid_map"]);
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!(words, ["0", "5", "1", "1", "1000000000", "65536"]);
    assert_eq!(home.run(&["unshare", "sh", "-c", "exit 3"]).status.code(), Some(3));

    let status = home.ok(&["run", "--rm", "--network", "none", "test:latest", "cat", "/proc/self/status"]);
    assert_eq!((line(&status, "NoNewPrivs"), line(&status, "Seccomp")), ("1".into(), "2".into()));
    assert_eq!(line(&status, "CapEff"), "00000000800005fb");
    let shared = home.path("home/shared");
    fs::create_dir(&shared).unwrap();
    chown(&shared, Some(USER.1), Some(USER.2)).unwrap();
    let bind = format!("{}:/x", shared.display());
    home.ok(&["run", "--rm", "--network", "none", "-v", &bind, "test:latest", "touch", "/x/root"]);
    let kept = home.ok(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--userns",
        "keep-id",
        "-v",
        &bind,
        "test:latest",
        "sh",
        "-c",
        "touch /x/kept; id -u; stat -c %u /x/root",
    ]);
    assert_eq!(kept, "5\n5\n");
    home.ok(&[
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &bind,
        "test:latest",
        "sh",
        "-c",
        "touch /x/web; touch /x/other; busybox chown 33:33 /x/other",
    ]);
    let owner = |name: &str| std::os::unix::fs::MetadataExt::uid(&fs::metadata(shared.join(name)).unwrap());
    assert_eq!([owner("root"), owner("kept"), owner("other")], [USER.1, USER.1, 1_000_000_032]);
}

#[test]
fn containers_of_a_user_share_one_namespace_and_so_can_share_others() {
    let Some(home) = Home::new() else { return };
    let _ids = SubordinateIds::new();
    home.import();
    home.ok(&["run", "-d", "--name", "a", "--network", "none", "test:latest", "sleep", "100"]);
    let namespace = |words: &[&str]| {
        home.ok(&[words, &["ls", "-l", "/proc/self/ns/user"]].concat()).rsplit(' ').next().unwrap().to_owned()
    };
    let first = namespace(&["exec", "a"]);
    assert_eq!(namespace(&["run", "--rm", "--network", "none", "test:latest"]), first);
    let network = |words: &[&str]| {
        home.ok(&[words, &["ls", "-l", "/proc/self/ns/net"]].concat()).rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(network(&["run", "--rm", "--network", "container:a", "test:latest"]), network(&["exec", "a"]));
    home.ok(&["rm", "--force", "--time", "0", "a"]);
    assert_eq!(home.ok(&["ps", "--all", "--quiet"]), "");
}

#[test]
fn a_user_without_subordinate_ids_has_one_id_and_is_told() {
    let Some(home) = Home::new() else { return };
    let ids = SubordinateIds::new();
    ids.take_away();
    let output = home.run(&["unshare", "cat", "/proc/self/uid_map"]);
    let map = String::from_utf8(output.stdout).unwrap();
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "5", "1"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("/etc/subuid") && told.contains("usermod"), "{told}");
}

#[test]
fn a_program_that_is_inside_already_stays_there() {
    let Some(home) = Home::new() else { return };
    let _ids = SubordinateIds::new();
    let program = home.path("berth-runner");
    let words = [
        "unshare",
        program.to_str().unwrap(),
        "unshare",
        "ls",
        "-l",
        "/proc/self/ns/user",
        "/proc/1/ns/user",
    ];
    let inside = home.run(&words);
    // Its own is seen; the first process of the machine is another user's.
    assert!(String::from_utf8_lossy(&inside.stdout).contains("user:["), "{inside:?}");
    let map = home.ok(&["unshare", program.to_str().unwrap(), "unshare", "cat", "/proc/self/uid_map"]);
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "5", "1", "1", "1000000000", "65536"]);
}

#[test]
fn each_container_of_a_user_has_ids_of_its_own_where_that_is_asked_for() {
    let Some(home) = Home::with(|root| {
        fs::write(root.join("srv/web"), "web's").unwrap();
        chown(root.join("srv/web"), Some(33), Some(34)).unwrap();
        fs::hard_link(root.join("srv/web"), root.join("srv/again")).unwrap();
        fs::write(root.join("srv/roots"), "root's").unwrap();
        fs::set_permissions(root.join("srv/roots"), fs::Permissions::from_mode(0o600)).unwrap();
    }) else {
        return;
    };
    let _ids = SubordinateIds::new();
    home.import();
    let run = |name: &str, userns: &str, program: &[&str]| {
        let flags = ["run", "-d", "--network", "none", "--name", name, "--userns", userns, "test:latest"];
        home.ok(&[&flags[..], program].concat());
    };
    let map = |name: &str| {
        let text = home.ok(&["exec", name, "cat", "/proc/self/uid_map"]);
        let numbers: Vec<u32> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!((numbers[0], numbers.len()), (0, 3), "{text}");
        numbers[1]..numbers[1] + numbers[2]
    };
    for (name, userns) in [("one", "auto"), ("two", "auto:size=2000"), ("three", "auto")] {
        run(name, userns, &["sleep", "1000"]);
    }
    let ranges = ["one", "two", "three"].map(map);
    assert_eq!(
        ranges.clone().map(|range| range.len()),
        [1024, 2000, 1024],
        "as many as its image has names for"
    );
    for (at, range) in ranges.iter().enumerate() {
        assert!(!range.contains(&0), "the user is none of them");
        assert!(
            ranges[..at].iter().all(|other| range.end <= other.start || other.end <= range.start),
            "{ranges:?}"
        );
    }
    // Files belong to whom the image says, and root may do what root does.
    let script = "cd /srv; cat roots; stat -c %u:%g:%h web; echo more >>web; cat again; touch new; \
                  busybox chown web:logs new; stat -c %u:%g new; stat -c %u:%g /etc/hosts";
    assert_eq!(home.ok(&["exec", "one", "sh", "-c", script]), "root's33:34:2\nweb's33:50\n0:0\n");
    let changes = home.ok(&["diff", "one"]);
    let changes: Vec<&str> = changes.lines().filter(|line| line.contains("/srv")).collect();
    assert_eq!(changes, ["C /srv", "A /srv/new", "C /srv/web"]);
    assert_eq!(home.ok(&["exec", "two", "cat", "/srv/again"]), "web's", "another's copy is another");
    // Into it and out of it, running or not, and over a new start.
    home.ok(&["cp", "one:/srv/roots", "back"]);
    assert_eq!(fs::read_to_string(home.path("home/back")).unwrap(), "root's");
    home.ok(&["restart", "-t", "0", "one"]);
    assert_eq!(home.ok(&["exec", "one", "stat", "-c", "%u:%g", "/srv/new"]), "33:50\n");
    home.ok(&["stop", "-t", "0", "one"]);
    home.ok(&["cp", "one:/srv/web", "back"]);
    assert_eq!(fs::read_to_string(home.path("home/back")).unwrap(), "web'smore\n");
    let refused = home.run(&["commit", "one", "made"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("export one"), "{refused:?}");

    // A range that has no room is named, with the way out.
    let create = ["create", "--userns", "auto:size=64000", "test:latest", "true"];
    let refused = home.run(&create);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(125), "{told}");
    assert!(told.contains("65536 subordinate ids") && told.contains("auto:size="), "{told}");
    home.ok(&["rm", "--force", "--time", "0", "one", "two", "three"]);
    home.ok(&create);
    home.ok(&["rm", "--all"]);
    assert_eq!(
        fs::read_dir(home.path("home/.local/share/berth-runner/containers"))
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().len() >= 64 })
            .count(),
        0
    );
}

#[test]
fn a_user_without_subordinate_ids_gets_no_container_with_ids_of_its_own() {
    let Some(home) = Home::new() else { return };
    let ids = SubordinateIds::new();
    ids.take_away();
    home.import();
    let refused = home.run(&["run", "--rm", "--network", "none", "--userns", "auto", "test:latest", "true"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(125), "{told}");
    assert!(told.contains("of the 0 subordinate ids") && told.contains("usermod"), "{told}");
}
