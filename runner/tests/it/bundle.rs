//! What a container is like inside, asked from inside; and what flags, users and volumes do.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// Folders of one test with an image in them, and the program.
struct Place {
    folder: TempDir,
}

/// Only root may do what these tests ask; elsewhere they are skipped, but not where nobody would read it.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "needs root");
        eprintln!("skipped: needs root");
    }
    root
}

/// The root of the test image: busybox, a user, files to be found.
pub(crate) fn image_root(root: &Path) {
    for folder in ["bin", "etc", "tmp", "srv/seed", "var/tmp", "run"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in [
        "sh", "cat", "id", "ls", "touch", "mkdir", "stat", "sleep", "true", "umount", "mount", "mknod", "ln",
        "env", "grep", "pwd",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nweb:x:34:\nlogs:x:50:web\n").unwrap();
    fs::write(root.join("srv/seed/file"), "seed").unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
}

impl Place {
    fn new() -> Self {
        Self::with(|_| ())
    }

    /// With an image whose root was changed.
    fn with(change: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("berth-bundle-it-").tempdir().unwrap();
        let place = Self { folder };
        let root = place.path("image");
        fs::create_dir(&root).unwrap();
        image_root(&root);
        change(&root);
        let tar = place.path("image.tar");
        let made = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status().unwrap();
        assert!(made.success());
        place.ok(&["import", tar.to_str().unwrap(), "test:latest"]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth-runner"));
        command.env("BERTH_RUNNER_ROOT", self.path("store")).env("BERTH_RUNNER_RUNROOT", self.path("run"));
        command.args(words).stdin(std::process::Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What it printed; it has to end well.
    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a shell in a container prints.
    fn sh(&self, flags: &[&str], script: &str) -> String {
        let words =
            [&["run", "--rm", "--network", "none"], flags, &["test:latest", "sh", "-c", script]].concat();
        self.ok(&words)
    }

    /// The number and the words of one that does not start.
    fn fails(&self, flags: &[&str], command: &[&str]) -> (i32, String) {
        let words = [&["run", "--rm", "--network", "none"], flags, &["test:latest"], command].concat();
        let output = self.run(&words);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        crate::program::leave_nothing(|words| self.command(words));
    }
}

/// The value of a line of `/proc/self/status`.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}: {status}")).trim()
}

#[test]
fn a_container_has_ten_capabilities_a_filter_and_no_way_to_more() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let status = place.sh(&[], "cat /proc/self/status");
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SETFCAP, by their numbers.
    let ten = [0, 1, 3, 4, 5, 6, 7, 8, 10, 31].iter().fold(0_u64, |bits, bit| bits | 1 << bit);
    for set in ["CapBnd", "CapEff", "CapPrm"] {
        assert_eq!(u64::from_str_radix(field(&status, set), 16).unwrap(), ten, "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!((field(&status, "NoNewPrivs"), field(&status, "Seccomp")), ("1", "2"));
    let user = place.sh(&["--user", "web"], "cat /proc/self/status; id");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(field(&user, set), "0000000000000000", "{set}");
    }
    assert!(
        user.contains("uid=33(web) gid=34(web) groups=34(web),50(logs)") || user.contains("groups=50(logs)"),
        "{user}"
    );
}

#[test]
fn its_ids_are_no_other_containers_and_its_root_is_nobody_outside() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let first = |text: &str| -> u32 { text.split_whitespace().nth(1).unwrap().parse().unwrap() };
    place.ok(&["run", "-d", "--name", "a", "--network", "none", "test:latest", "sleep", "100"]);
    let a = first(&place.ok(&["exec", "a", "cat", "/proc/self/uid_map"]));
    let b = first(&place.sh(&[], "cat /proc/self/uid_map"));
    assert!(a >= 1 << 30 && b >= 1 << 30 && a.abs_diff(b) >= 65_536, "{a} {b}");
    let host = place.sh(&["--userns", "host"], "cat /proc/self/uid_map");
    assert_eq!(first(&host), 0);
}

#[test]
fn what_tells_of_the_machine_is_masked_and_what_changes_it_cannot_be_written() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    // Of files nothing is read, of folders nothing is listed.
    let script = "for path in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats \
        /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware \
        /sys/devices/system/cpu/cpu0/thermal_throttle; do \
        if [ -d $path ]; then [ -z \"$(ls -A $path)\" ] || echo seen $path; \
        elif [ -e $path ]; then [ -z \"$(cat $path 2>/dev/null)\" ] || echo seen $path; fi; done; \
        for path in /proc/sys/kernel/domainname /proc/irq/default_smp_affinity /proc/sysrq-trigger; do \
        if [ -e $path ]; then (echo x > $path) 2>/dev/null && echo wrote $path; fi; done; \
        mkdir /sys/fs/cgroup/memory/x 2>/dev/null && echo group; mkdir /sys/fs/cgroup/x 2>/dev/null && echo group; true";
    // On the machine itself some of them are seen, or this would test nothing.
    assert!(!fs::read("/proc/interrupts").unwrap().is_empty());
    assert_eq!(place.sh(&[], script), "");
    assert_eq!(place.sh(&["--userns", "host"], script), "");
    let unmasked = place.sh(&["--security-opt", "unmask=/proc/interrupts"], "cat /proc/interrupts");
    assert!(unmasked.contains("CPU0"), "{unmasked}");
}

#[test]
fn mounts_are_its_own_and_spread_nowhere() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let info =
        place.sh(&["-v", &format!("{}:/x", place.path("image").display())], "cat /proc/self/mountinfo");
    for line in info.lines() {
        assert!(!line.contains(" shared:") && !line.contains(" master:"), "{line}");
        if line.contains(" /sys/fs/cgroup") {
            assert!(line.split(' ').nth(5).unwrap().starts_with("ro,"), "{line}");
        }
    }
    let devices = place.sh(&[], "ls /dev");
    let wanted = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    let mut found: Vec<&str> = devices.split_whitespace().filter(|name| *name != "core").collect();
    found.sort_unstable();
    assert_eq!(found.join(" "), wanted);
}

#[test]
fn what_its_root_writes_into_a_folder_of_the_machine_is_roots_there() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let shared = place.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("mine"), "mine").unwrap();
    let bind = format!("{}:/x", shared.display());
    let seen = place.sh(&["-v", &bind], "touch /x/new; stat -c %u /x/mine; cat /proc/self/uid_map");
    assert!(seen.starts_with("0\n") && !seen.contains(" 0 4294967295"), "{seen}");
    let owner = |name: &str| fs::metadata(shared.join(name)).unwrap().uid();
    assert_eq!(owner("new"), 0);
    place.sh(&["-v", &format!("{bind}:U"), "--user", "web"], "touch /x/theirs");
    assert_eq!([owner("theirs"), owner("mine")], [33, 33]);
    let (code, text) = place.fails(&["-v", &format!("{bind}:ro")], &["touch", "/x/no"]);
    assert!(code == 1 && text.contains("Read-only"), "{code} {text}");
}

#[test]
fn u14_an_image_whose_folders_are_links_changes_nothing_on_the_host() {
    if !is_root() {
        return;
    }
    for link in ["dev", "proc", "sys", "etc"] {
        let canary = tempfile::tempdir().unwrap();
        fs::write(canary.path().join("file"), "canary").unwrap();
        let place = Place::with(|root| {
            let _gone = fs::remove_dir_all(root.join(link));
            std::os::unix::fs::symlink(canary.path(), root.join(link)).unwrap();
        });
        for flags in [&[][..], &["--userns", "host"]] {
            // Whether it starts is not the question here.
            let words = [&["run", "--rm", "--network", "none"], flags, &["test:latest", "true"]].concat();
            place.run(&words);
            let names: Vec<_> =
                fs::read_dir(canary.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["file"], "/{link}");
            assert_eq!(fs::read_to_string(canary.path().join("file")).unwrap(), "canary");
        }
    }
}

#[test]
fn u15_a_user_that_no_id_can_be_is_an_error_and_never_root() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    for user in ["4294967296", "4294967295", "ghost", "web:ghosts", "70000"] {
        let (code, text) = place.fails(&["--user", user], &["id"]);
        assert!(code == 125 && text.contains(user.rsplit(':').next().unwrap()), "{user}: {code} {text}");
    }
    let giant = Place::with(|root| fs::write(root.join("etc/passwd"), "x".repeat((1 << 20) + 1)).unwrap());
    let (code, text) = giant.fails(&["--user", "web"], &["id"]);
    assert!(code == 125 && text.contains("1 MiB"), "{code} {text}");
}

#[test]
fn u16_a_working_directory_is_inside_and_no_descriptor_leads_out() {
    if !is_root() {
        return;
    }
    let place = Place::with(|root| std::os::unix::fs::symlink("/proc/self/fd/7", root.join("way")).unwrap());
    for number in 3..20 {
        let cwd = format!("/proc/self/fd/{number}");
        let output = place.run(&[
            "run",
            "--rm",
            "--network",
            "none",
            "-w",
            &cwd,
            "test:latest",
            "ls",
            "../../../../etc",
        ]);
        assert!(!output.status.success(), "{cwd}: {output:?}");
    }
    assert_ne!(place.fails(&["-w", "/way"], &["ls"]).0, 0);
    assert_eq!(place.sh(&["-w", "/made/here"], "pwd"), "/made/here\n");
    assert_eq!(place.sh(&[], "ls /proc/self/fd"), "0\n1\n2\n3\n", "the third is ls's own");
}

#[test]
fn u19_a_fork_bomb_ends_at_512_and_a_limit_is_what_was_asked_for() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let limit = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max";
    assert_eq!(place.sh(&[], limit), "512\n");
    assert_eq!(place.sh(&["--pids-limit", "20"], limit), "20\n");
    let bomb = "i=0; while [ $i -lt 600 ]; do sleep 30 & i=$((i+1)); done; echo all";
    let words = ["run", "--rm", "--network", "none", "--pids-limit", "20", "test:latest", "sh", "-c", bomb];
    let output = place.run(&words);
    assert!(!String::from_utf8_lossy(&output.stdout).contains("all"), "{output:?}");
    let memory =
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    assert_eq!(place.sh(&["--memory", "64m"], memory), "67108864\n");
}

#[test]
fn an_own_init_is_process_1_reaps_and_hands_on() {
    if !is_root() {
        return;
    }
    // The small init is this program; as it is built for tests it needs libraries, and the image has none.
    let place = Place::new();
    let one = place.sh(
        &["--init"],
        "cat /proc/1/cmdline; (sh -c 'sleep 0.1 &'); sleep 0.5; grep -l '(sleep) Z' /proc/[0-9]*/stat; true",
    );
    assert!(one.contains("/run/.berth-init/init\0__init\0--\0sh"), "{one:?}");
    assert!(!one.contains("/stat\n"), "a zombie: {one}");
    let (code, _) = place.fails(&["--init"], &["sh", "-c", "exit 7"]);
    assert_eq!(code, 7);
    assert_eq!(place.fails(&["--init"], &["/no/such/program"]).0, 127);
    let wrote = place.sh(&["--init"], "(echo x > /run/.berth-init/init) 2>/dev/null && echo wrote; (echo x > /proc/1/exe) 2>/dev/null && echo wrote; true");
    assert_eq!(wrote, "");
}

#[test]
fn volumes_are_filled_kept_and_protected() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    assert_eq!(
        place.sh(
            &["-v", "data:/srv/seed"],
            "cat /srv/seed/file; stat -c %u:%g /srv/seed/file; echo more > /srv/seed/new"
        ),
        "seed0:0\n"
    );
    let at = place.ok(&["volume", "inspect", "--format", "{{.Mountpoint}}", "data"]);
    let new = Path::new(at.trim()).join("new");
    assert_eq!(
        (fs::read_to_string(&new).unwrap().as_str(), fs::metadata(&new).unwrap().uid()),
        ("more\n", 0)
    );
    place.ok(&[
        "create",
        "--name",
        "user",
        "--network",
        "none",
        "-v",
        "data:/x",
        "-v",
        "/anonymous",
        "test:latest",
        "true",
    ]);
    assert_eq!(place.run(&["volume", "rm", "data"]).status.code(), Some(1));
    assert_eq!(place.ok(&["volume", "ls", "-q"]).lines().count(), 2);
    place.ok(&["rm", "user"]);
    assert_eq!(place.ok(&["volume", "ls", "-q"]), "data\n");
    place.ok(&["volume", "prune", "--force"]);
    assert_eq!(place.run(&["volume", "exists", "data"]).status.code(), Some(1));
}

#[test]
fn secrets_are_files_and_variables() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    fs::write(place.path("key"), "hush").unwrap();
    place.ok(&["secret", "create", "key", place.path("key").to_str().unwrap()]);
    let flags = ["--secret", "key,uid=33,mode=0400", "--secret", "key,type=env,target=KEY"];
    let seen = place.sh(&flags, "echo $KEY; stat -c %u:%a /run/secrets/key; cat /run/secrets/key");
    assert_eq!(seen, "hush\n33:400\nhush");
    assert!(!place.ok(&["secret", "inspect", "key"]).contains("hush"));
}

#[test]
fn flags_that_make_no_sense_end_with_125_and_every_fault() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-runner"));
    command
        .env("BERTH_RUNNER_ROOT", folder.path().join("store"))
        .env("BERTH_RUNNER_RUNROOT", folder.path().join("run"));
    let output =
        command.args(["run", "--memory", "x", "--publish", "y", "--pod", "z", "a"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(125), "{text}");
    for part in ["3 faults", "--memory", "--publish", "--pod", "not built"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_cidfile_is_written_once_and_replace_replaces() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let cid = place.path("cid");
    let words = [
        "create",
        "--network",
        "none",
        "--cidfile",
        cid.to_str().unwrap(),
        "--name",
        "x",
        "test:latest",
        "true",
    ];
    let id = place.ok(&words);
    assert_eq!(fs::read_to_string(&cid).unwrap(), id.trim());
    assert_eq!(place.run(&words).status.code(), Some(125));
    place.ok(&["run", "-d", "--replace", "--name", "x", "--network", "none", "test:latest", "sleep", "100"]);
    let second =
        place.ok(&["create", "--replace", "--name", "x", "--network", "none", "test:latest", "true"]);
    assert_eq!(place.ok(&["ps", "--all", "--quiet", "--no-trunc"]).trim(), second.trim());
}
