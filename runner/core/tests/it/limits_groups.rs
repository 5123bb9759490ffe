//! Control groups on the trees that are mounted here.

use std::{
    fs,
    io::Write,
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use berth_runtime::{Cgroup, CgroupDriver, CgroupVersion, Features, RuntimeError};
use oci_spec::runtime::LinuxResources;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Limits are set by root. In CI a test that did not run has failed.
fn root() -> bool {
    let groups = Features::probe(Path::new("/")).unwrap().cgroups != CgroupVersion::Absent;
    let may = rustix::process::geteuid().is_root() && groups;
    assert!(may || std::env::var_os("CI").is_none(), "these tests need root and control groups");
    if !may {
        writeln!(std::io::stderr(), "skipped: control groups are made by root").unwrap();
    }
    may
}

/// A group that goes with everything in it, also when its test fails.
struct Group(Cgroup);

impl Group {
    fn new(name: &str, resources: &str) -> Self {
        Self::try_new(name, resources).unwrap()
    }

    fn try_new(name: &str, resources: &str) -> Result<Self, RuntimeError> {
        let resources: LinuxResources = serde_json::from_str(resources).unwrap();
        let id = format!("berth-it-{name}-{}", std::process::id());
        Cgroup::create(CgroupDriver::Folder, None, &id, Some(&resources)).map(Self)
    }

    /// Runs a shell's script in the group from its first instruction on.
    fn run(&self, script: &str) -> Child {
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.0.add(i32::try_from(child.id()).unwrap()).unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        child
    }

    fn folder(&self, controller: &str) -> std::path::PathBuf {
        let views = self.0.views();
        let of = |wanted: &str| views.iter().find(|(options, _)| options.split(',').any(|one| one == wanted));
        of(controller).or_else(|| of("")).unwrap().1.clone()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.0.freeze(false);
        let _ = self.0.kill(9);
        let _ = self.0.delete();
    }
}

/// Waits for a condition that the kernel has no event for.
fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < within, "{what} did not come about within {within:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_group_is_made_entered_and_removed() {
    if !root() {
        return;
    }
    let group = Group::new("plain", "{}");
    let mut child = group.run("exec sleep 100");
    let pid = i32::try_from(child.id()).unwrap();
    assert_eq!(group.0.processes().unwrap(), [pid]);
    for (options, folder) in group.0.views() {
        let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap();
        assert_eq!(processes.trim(), pid.to_string(), "{options}");
    }
    assert_eq!(group.0.stats().unwrap().pids, 1);
    child.kill().unwrap();
    child.wait().unwrap();
    group.0.delete().unwrap();
    assert!(group.0.views().iter().all(|(_, folder)| !folder.exists()));
    group.0.delete().unwrap();
}

#[test]
fn a_group_read_back_is_the_same_group() {
    if !root() {
        return;
    }
    let group = Group::new("state", "{}");
    let mut child = group.run("exec sleep 100");
    let read: Cgroup = serde_json::from_str(&serde_json::to_string(&group.0).unwrap()).unwrap();
    assert_eq!(read.processes().unwrap(), group.0.processes().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_the_container_made_below_goes_too() {
    if !root() {
        return;
    }
    let group = Group::new("below", "{}");
    for (_, folder) in group.0.views() {
        fs::create_dir_all(folder.join("a/b")).unwrap();
    }
    group.0.delete().unwrap();
    assert!(group.0.views().iter().all(|(_, folder)| !folder.exists()));
}

#[test]
fn a_group_with_processes_is_not_taken_over() {
    if !root() {
        return;
    }
    let group = Group::new("taken", "{}");
    let mut child = group.run("exec sleep 100");
    let error = Group::try_new("taken", "{}").map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("in it already"), "{error}");
    assert!(group.0.views().iter().all(|(_, folder)| folder.exists()), "the other's group stays");
    let id = format!("berth-it-taken-{}", std::process::id());
    assert!(Cgroup::left_over(CgroupDriver::Folder, None, &id).unwrap().views().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    until("an empty group", Duration::from_secs(5), || group.0.processes().unwrap().is_empty());
    let left = Cgroup::left_over(CgroupDriver::Folder, None, &id).unwrap();
    assert_eq!(left.views(), group.0.views());
}

#[test]
fn u19_a_fork_bomb_stays_below_its_limit_and_dies_within_a_second() {
    if !root() {
        return;
    }
    let group = Group::new("bomb", r#"{"pids": {"limit": 64}}"#);
    let mut child = group.run("bomb() { while :; do bomb & done; }; bomb 2>/dev/null");
    until("a full group", Duration::from_secs(20), || group.0.stats().unwrap().pids >= 60);
    let stats = group.0.stats().unwrap();
    assert!(stats.pids <= 64 && stats.pids_limit == Some(64), "{stats:?}");
    let started = Instant::now();
    group.0.kill(9).unwrap();
    child.wait().unwrap();
    until("an empty group", Duration::from_secs(5), || group.0.processes().unwrap().is_empty());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    group.0.delete().unwrap();
}

#[test]
fn u19_a_memory_hog_is_ended_and_told_of_and_the_machine_lives() {
    if !root() {
        return;
    }
    let group = Group::new("hog", r#"{"memory": {"limit": 33554432, "swap": 33554432}}"#);
    let events = group.0.oom_events().unwrap().unwrap();
    let mut child = group.run("x=$(head -c 200000000 /dev/zero | tr '\\0' x)");
    let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
    let ready =
        poll(&mut [PollFd::new(&events.as_fd(), PollFlags::IN | PollFlags::PRI)], Some(&patience)).unwrap();
    assert_eq!(ready, 1, "the kernel told nothing");
    assert!(!child.wait().unwrap().success());
    let stats = group.0.stats().unwrap();
    assert!(stats.oom_kills >= 1 && stats.memory_limit_bytes == Some(33_554_432), "{stats:?}");
    assert!(stats.memory_peak_bytes.unwrap() <= 33_554_432, "{stats:?}");
}

#[test]
fn a_mebibyte_is_enough_for_a_small_program() {
    if !root() {
        return;
    }
    let group = Group::new("small", r#"{"memory": {"limit": 1048576}}"#);
    let mut child = group.run("exec true");
    assert!(child.wait().unwrap().success(), "{:?}", group.0.stats());
}

#[test]
fn frozen_processes_stand_still_until_they_are_thawed_or_killed() {
    if !root() {
        return;
    }
    let group = Group::new("freeze", "{}");
    let mut child = group.run("while :; do :; done");
    assert!(!group.0.is_frozen().unwrap());
    group.0.freeze(true).unwrap();
    assert!(group.0.is_frozen().unwrap());
    let time = || fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let used = time();
    std::thread::sleep(Duration::from_millis(100)); // What is to be seen is that nothing happens.
    assert_eq!(time(), used);
    group.0.freeze(false).unwrap();
    assert!(!group.0.is_frozen().unwrap());
    until("work", Duration::from_secs(5), || time() != used);
    group.0.freeze(true).unwrap();
    group.0.kill(9).unwrap();
    assert!(!child.wait().unwrap().success());
}

#[test]
fn a_signal_reaches_every_process_of_a_group_that_forks() {
    if !root() {
        return;
    }
    let group = Group::new("signal", "{}");
    let mut child = group.run("for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; wait");
    until("nine processes", Duration::from_secs(10), || group.0.processes().unwrap().len() == 9);
    group.0.kill(15).unwrap();
    child.wait().unwrap();
    until("an empty group", Duration::from_secs(5), || group.0.processes().unwrap().is_empty());
    assert!(matches!(group.0.kill(4711), Err(RuntimeError::Spec { .. })));
}

fn update(group: &Group, resources: &str) -> Result<(), RuntimeError> {
    group.0.update(&serde_json::from_str(resources).unwrap())
}

#[test]
fn limits_change_while_the_container_runs_and_what_is_not_named_stays() {
    if !root() {
        return;
    }
    let group =
        Group::new("update", r#"{"memory": {"limit": 33554432, "swap": 67108864}, "pids": {"limit": 10}}"#);
    // Up, where memory alone would pass memory and swap together, and down again, where it is the other way.
    for (limit, swap) in [(134_217_728, 268_435_456), (33_554_432, 33_554_432)] {
        update(&group, &format!(r#"{{"memory": {{"limit": {limit}, "swap": {swap}}}}}"#)).unwrap();
        assert_eq!(group.0.stats().unwrap().memory_limit_bytes, Some(limit));
    }
    assert_eq!(group.0.stats().unwrap().pids_limit, Some(10));
    update(&group, r#"{"pids": {"limit": -1}}"#).unwrap();
    let stats = group.0.stats().unwrap();
    assert_eq!((stats.pids_limit, stats.memory_limit_bytes), (None, Some(33_554_432)));
    let error = update(&group, r#"{"memory": {"limit": 100, "swap": 99}}"#).unwrap_err().to_string();
    assert!(
        error.contains("memory.swap") && error.contains("99 is below the memory limit of 100"),
        "{error}"
    );
}

#[test]
fn a_limit_below_what_is_used_names_both_figures() {
    if !root() {
        return;
    }
    let group = Group::new("below-usage", r#"{"memory": {"limit": 134217728}}"#);
    // 30 MB of the shell's own memory, which cannot be given back where there is no swap.
    let mut child = group
        .run("x=$(head -c 30000000 /dev/zero | tr '\\0' x); exec 2>&-; read forever </dev/fd/1; sleep 100");
    until("use", Duration::from_secs(20), || group.0.stats().unwrap().memory_bytes > 28_000_000);
    let swap = fs::read_to_string("/proc/swaps").unwrap().lines().count() > 1;
    if !swap {
        let error = update(&group, r#"{"memory": {"limit": 2097152}}"#).unwrap_err().to_string();
        assert!(error.contains("2097152 bytes are below the"), "{error}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn processor_limits_are_written_together_whatever_their_order() {
    if !root() {
        return;
    }
    let group =
        Group::new("cpu", r#"{"cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 20000}}"#);
    update(&group, r#"{"cpu": {"quota": 10000, "burst": 5000}}"#).unwrap();
    update(&group, r#"{"cpu": {"quota": 90000, "burst": 60000, "period": 200000}}"#).unwrap();
    let folder = group.folder("cpu");
    if folder.join("cpu.cfs_quota_us").exists() {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap().trim().to_owned();
        assert_eq!(read("cpu.cfs_quota_us"), "90000");
        assert_eq!(read("cpu.cfs_period_us"), "200000");
        assert_eq!(read("cpu.cfs_burst_us"), "60000");
        assert_eq!(read("cpu.shares"), "512");
    }
    update(&group, r#"{"cpu": {"cpus": "0"}}"#).unwrap();
    let error = update(&group, r#"{"cpu": {"cpus": "4000"}}"#).unwrap_err().to_string();
    assert!(error.contains("linux.resources.cpu.cpus") && error.contains("4000"), "{error}");
}

#[test]
fn devices_are_refused_but_the_usual_ones_and_those_that_are_asked_for() {
    if !root() {
        return;
    }
    let group = Group::new("devices", r#"{"devices": [{"allow": false, "access": "rwm"}]}"#);
    let open = |group: &Group, device: &str| {
        group.run(&format!("exec 2>/dev/null; : <{device}")).wait().unwrap().success()
    };
    assert!(open(&group, "/dev/zero"));
    let folder = std::env::temp_dir().join(format!("berth-it-node-{}", std::process::id()));
    // A node of memory device 11 (kmsg), which is none of the usual ones.
    let made = group.run(&format!("mknod {} c 1 11", folder.display())).wait().unwrap().success();
    assert!(made, "nodes may be made");
    let kmsg = folder.to_str().unwrap().to_owned();
    let refused = !open(&group, &kmsg);
    update(&group, r#"{"devices": [{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]}"#)
        .unwrap();
    let allowed = open(&group, &kmsg);
    update(&group, r#"{"devices": []}"#).unwrap();
    let refused_again = !open(&group, &kmsg);
    fs::remove_file(&folder).unwrap();
    assert!(refused && allowed && refused_again, "{refused} {allowed} {refused_again}");
}

#[test]
fn a_limit_that_nothing_here_can_hold_is_refused_by_its_name_and_nothing_stays() {
    if !root() {
        return;
    }
    let wrong = [
        (r#"{"unified": {"../x.max": "1"}}"#, "unified"),
        (r#"{"unified": {"a.b/c": "1"}}"#, "no /"),
        (r#"{"unified": {"cgroup.procs": "4194305"}}"#, "cgroup.procs"),
        (r#"{"unified": {"nosuch.max": "1"}}"#, "nosuch controller"),
        (r#"{"blockIO": {"weight": 5}}"#, "5 is not 10 to 1000"),
        (r#"{"memory": {"swappiness": 101}}"#, "swappiness"),
        (r#"{"hugepageLimits": [{"pageSize": "3XB", "limit": 1}]}"#, "hugepageLimits"),
        (r#"{"cpu": {"cpus": "4000"}}"#, "cpu.cpus"),
    ];
    for (resources, part) in wrong {
        let error = Group::try_new("wrong", resources).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(part), "{resources}: {error}");
        let id = format!("berth-it-wrong-{}", std::process::id());
        assert!(
            Cgroup::left_over(CgroupDriver::Folder, None, &id).unwrap().views().is_empty(),
            "{resources}"
        );
    }
}

#[test]
fn a_path_that_leaves_the_tree_is_refused() {
    for path in ["../x", "/a/../../b", "/", "."] {
        let error = Cgroup::create(CgroupDriver::Folder, Some(Path::new(path)), "x", None).unwrap_err();
        assert!(error.to_string().contains("linux.cgroupsPath"), "{path}: {error}");
    }
}

#[test]
fn huge_pages_are_limited_where_their_controller_is() {
    if !root() {
        return;
    }
    let sizes = Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists();
    match Group::try_new("huge", r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}"#) {
        Ok(group) => {
            let folder = group.folder("hugetlb");
            let names = ["hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes"].map(|name| folder.join(name));
            let limit = names.iter().find_map(|name| fs::read_to_string(name).ok()).unwrap();
            assert_eq!(limit.trim(), "4194304");
            let above = folder.parent().unwrap().join("cgroup.subtree_control");
            drop(group);
            if above.exists() {
                // The machine is left as it was.
                fs::write(above, "-hugetlb").unwrap();
            }
        }
        Err(error) => assert!(!sizes || error.to_string().contains("hugetlb controller"), "{error}"),
    }
}
