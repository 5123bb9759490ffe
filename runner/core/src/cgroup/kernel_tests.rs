//! Trees of one version alone, as older and newer machines have them, on the trees of this machine.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::*;

/// A group of the trees that are chosen; it goes with everything in it.
struct Group(Cgroup);

impl Group {
    /// `None` where this machine has no such tree, or the user may not.
    fn new(name: &str, chosen: impl Fn(&str) -> bool, needs: &str) -> Option<Self> {
        let may = rustix::process::geteuid().is_root();
        assert!(may || std::env::var_os("CI").is_none(), "groups are made by root");
        let id = format!("berth-core-{name}-{}", std::process::id());
        let mut group = Cgroup::create(CgroupDriver::Folder, None, &id, None).ok().filter(|_| may)?;
        let (kept, others): (Vec<_>, Vec<_>) =
            group.folders.into_iter().partition(|(options, _)| chosen(options));
        group.folders = others;
        group.delete().unwrap();
        group.folders = kept;
        let group = Self(group);
        group.0.v1_folder(needs)?;
        Some(group)
    }

    fn run(&self, script: &str) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.0.add(i32::try_from(child.id()).unwrap()).unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
        child
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.0.kill(9);
        let _ = self.0.freeze(false);
        let _ = self.0.delete();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what} did not come about");
        std::thread::yield_now();
    }
}

fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().chars().next().unwrap()
}

#[test]
fn u19_version_1_alone_ends_a_fork_bomb_within_a_second() {
    let Some(group) = Group::new("v1-bomb", |options| !options.is_empty(), "freezer") else { return };
    group.0.update(&serde_json::from_str(r#"{"pids": {"limit": 64}}"#).unwrap()).unwrap();
    let mut child = group.run("bomb() { while :; do bomb & done; }; bomb");
    until("a full group", || group.0.stats().unwrap().pids >= 60);
    let started = Instant::now();
    group.0.kill(9).unwrap();
    child.wait().unwrap();
    until("an empty group", || group.0.processes().unwrap().is_empty());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(!group.0.is_frozen().unwrap(), "it was frozen for the kill alone");
}

#[test]
fn version_1_alone_freezes_and_a_kill_ends_what_is_frozen() {
    let Some(group) = Group::new("v1-freeze", |options| !options.is_empty(), "freezer") else { return };
    let mut child = group.run("while :; do :; done");
    group.0.freeze(true).unwrap();
    assert!(group.0.is_frozen().unwrap());
    // A gentle signal waits and leaves it frozen.
    group.0.kill(15).unwrap();
    assert!(group.0.is_frozen().unwrap());
    assert_eq!(child.try_wait().unwrap(), None);
    group.0.kill(9).unwrap();
    until("its end", || child.try_wait().unwrap().is_some());
}

#[test]
fn version_2_alone_kills_freezes_and_counts_without_a_controller() {
    let Some(group) = Group::new("v2", str::is_empty, "") else { return };
    let mut child = group.run("while :; do :; done");
    until("work", || group.0.stats().unwrap().cpu_usec > 10_000);
    group.0.freeze(true).unwrap();
    assert!(group.0.is_frozen().unwrap() && state(child.id()) != 'R');
    group.0.freeze(false).unwrap();
    assert!(!group.0.is_frozen().unwrap());
    group.0.kill(9).unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn without_a_freezer_a_signal_still_reaches_everybody() {
    let Some(group) = Group::new("no-freezer", |options| options == "pids", "pids") else { return };
    let mut child = group.run("sleep 100 & sleep 100 & wait");
    until("three processes", || group.0.processes().unwrap().len() == 3);
    assert!(matches!(group.0.freeze(true), Err(RuntimeError::Unsupported { .. })));
    group.0.kill(15).unwrap();
    child.wait().unwrap();
    until("an empty group", || group.0.processes().unwrap().is_empty());
}

#[test]
fn a_group_whose_processes_end_late_is_removed_when_they_did() {
    let Some(group) = Group::new("late", |_| true, "") else { return };
    let mut child = group.run("exec sleep 0.3");
    group.0.delete().unwrap();
    assert!(group.0.folders.iter().all(|(_, folder)| !folder.exists()));
    child.wait().unwrap();
}

#[test]
fn a_group_with_controllers_of_version_2_is_limited_by_them() {
    // Where hugetlb is of version 2, it is the one controller that a hybrid machine leaves to it.
    let v2 = controllers(Path::new("/")).unwrap().into_iter().any(|(name, _, v2)| v2 && name == "hugetlb");
    if !v2 || !Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let limits = serde_json::from_str(r#"{"unified": {"hugetlb.2MB.max": "2097152"}}"#).unwrap();
    let id = format!("berth-core-v2-hugetlb-{}", std::process::id());
    let group = Group(Cgroup::create(CgroupDriver::Folder, None, &id, Some(&limits)).unwrap());
    let folder = group.0.unified_folder().unwrap().to_owned();
    let limit = fs::read_to_string(folder.join("hugetlb.2MB.max")).unwrap();
    assert_eq!(limit.trim(), "2097152");
    drop(group);
    // The machine is left as it was.
    fs::write(folder.parent().unwrap().join("cgroup.subtree_control"), "-hugetlb").unwrap();
}
