//! Files that are written for version 2, on a copy of its tree in an ordinary folder, and errors of what is missing.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::*;

/// A machine with only the unified tree. Its groups do not make their files by themselves, so the container's is made
/// before, with the files that the kernel would give it.
struct Machine {
    folder: tempfile::TempDir,
}

const FILES: [(&str, &str); 17] = [
    ("cgroup.procs", ""),
    ("memory.max", "max"),
    ("memory.swap.max", "max"),
    ("memory.low", "0"),
    ("memory.high", "max"),
    ("memory.current", "0"),
    ("cpu.max", "max 100000"),
    ("cpu.max.burst", "0"),
    ("cpu.weight", "100"),
    ("cpu.idle", "0"),
    ("cpuset.cpus", ""),
    ("cpuset.mems", ""),
    ("pids.max", "max"),
    ("io.max", ""),
    ("io.weight", "default 100"),
    ("hugetlb.2MB.max", "max"),
    ("hugetlb.2MB.rsvd.max", "max"),
];

impl Machine {
    fn new(controllers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { folder };
        machine.put("proc/self/mountinfo", "31 30 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        machine.put("proc/self/cgroup", "0::/\n");
        for folder in ["", "box/", "box/c/"] {
            machine.put(&format!("sys/fs/cgroup/{folder}cgroup.controllers"), controllers);
            machine.put(&format!("sys/fs/cgroup/{folder}cgroup.subtree_control"), "");
        }
        for (name, content) in FILES {
            machine.put(&format!("sys/fs/cgroup/box/c/{name}"), content);
        }
        machine
    }

    fn put(&self, name: &str, content: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The group, as [`Cgroup::create`] finds it, without what only a kernel has (devices).
    fn group(&self) -> Cgroup {
        let folder = self.folder.path().join("sys/fs/cgroup/box/c");
        Cgroup { folders: vec![(String::new(), folder)], ..Cgroup::empty(CgroupDriver::Folder) }
    }

    fn set(&self, resources: &str) -> Result<BTreeMap<String, String>, RuntimeError> {
        self.group().update(&serde_json::from_str(resources).unwrap())?;
        Ok(self.changed())
    }

    fn changed(&self) -> BTreeMap<String, String> {
        let folder = self.folder.path().join("sys/fs/cgroup/box/c");
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        FILES
            .into_iter()
            .map(|(name, was)| (name, read(name), was))
            .filter(|(_, is, was)| is != was)
            .map(|(n, is, _)| (n.to_owned(), is))
            .collect()
    }
}

const ALL: &str = "cpuset cpu io memory hugetlb pids rdma";

/// An ordinary file keeps the end of what was longer in it before; the kernel's do not.
fn begins(changed: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    assert_eq!(
        changed.keys().map(String::as_str).collect::<Vec<_>>(),
        expected.iter().map(|(n, _)| *n).collect::<Vec<_>>()
    );
    for (name, value) in expected {
        assert!(changed[*name].starts_with(value), "{name}: {:?}, not {value:?}", changed[*name]);
    }
}

#[test]
fn limits_of_version_2_are_written_in_its_words() {
    let changed = Machine::new(ALL)
        .set(
            r#"{"memory": {"limit": 67108864, "swap": 100663296, "reservation": 33554432},
                "cpu": {"shares": 2048, "quota": 50000, "period": 20000, "burst": 1000, "cpus": "0-1", "mems": "0"},
                "pids": {"limit": 512},
                "blockIO": {"weight": 1000, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}]},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}"#,
        )
        .unwrap();
    begins(
        &changed,
        &[
            ("cpu.max", "50000 20000"),
            ("cpu.max.burst", "1000"),
            ("cpu.weight", "17"),
            ("cpuset.cpus", "0-1"),
            ("cpuset.mems", "0"),
            ("hugetlb.2MB.max", "4194304"),
            ("hugetlb.2MB.rsvd.max", "4194304"),
            ("io.max", "8:0 rbps=1048576"),
            ("io.weight", "default 10000"),
            ("memory.low", "33554432"),
            ("memory.max", "67108864"),
            ("memory.swap.max", "33554432"),
            ("pids.max", "512"),
        ],
    );
}

#[test]
fn no_limit_is_a_word_in_version_2() {
    let machine = Machine::new(ALL);
    for (name, value) in
        [("memory.max", "5"), ("memory.swap.max", "5"), ("pids.max", "5"), ("cpu.max", "5 100000")]
    {
        machine.put(&format!("sys/fs/cgroup/box/c/{name}"), value);
    }
    let changed = machine
        .set(r#"{"memory": {"limit": -1, "swap": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}}"#)
        .unwrap();
    // Each is what it was at first.
    assert!(changed.is_empty(), "{changed:?}");
}

#[test]
fn swap_is_counted_from_the_memory_limit_that_stands() {
    let machine = Machine::new(ALL);
    machine.put("sys/fs/cgroup/box/c/memory.max", "1000000");
    begins(
        &machine.set(r#"{"memory": {"swap": 1500000}}"#).unwrap(),
        &[("memory.max", "1000000"), ("memory.swap.max", "500000")],
    );
    let error = machine.set(r#"{"memory": {"swap": 500}}"#).unwrap_err().to_string();
    assert!(error.contains("500 is below the memory limit of 1000000"), "{error}");
    let error = Machine::new(ALL).set(r#"{"memory": {"swap": 500}}"#).unwrap_err().to_string();
    assert!(error.contains("set memory.limit too"), "{error}");
}

#[test]
fn a_limit_below_what_is_in_use_is_not_written_because_it_would_end_processes() {
    let machine = Machine::new(ALL);
    machine.put("sys/fs/cgroup/box/c/memory.current", "9000000");
    let error = machine.set(r#"{"memory": {"limit": 8000000}}"#).unwrap_err().to_string();
    assert!(error.contains("8000000 bytes are below the 9000000 bytes"), "{error}");
    let changed = machine.changed();
    assert!(!changed.contains_key("memory.max"), "{changed:?}");
    assert!(changed["memory.high"].starts_with("max"), "the high mark is put back: {changed:?}");
}

#[test]
fn what_version_2_has_not_is_refused_by_its_name() {
    for (resources, part) in [
        (r#"{"memory": {"swappiness": 10}}"#, "swappiness"),
        (r#"{"memory": {"disableOOMKiller": true}}"#, "disableOOMKiller"),
        (r#"{"cpu": {"realtimeRuntime": 1000}}"#, "realtimeRuntime"),
        (r#"{"network": {"classID": 1}}"#, "net_cls"),
        (r#"{"blockIO": {"leafWeight": 100}}"#, "leafWeight"),
    ] {
        let error = Machine::new(ALL).set(resources).unwrap_err();
        assert!(
            matches!(error, RuntimeError::Unsupported { .. }) && error.to_string().contains(part),
            "{error}"
        );
    }
    assert!(Machine::new(ALL).set(r#"{"memory": {"disableOOMKiller": false}}"#).unwrap().is_empty());
}

#[test]
fn a_missing_controller_is_named_with_the_way_out() {
    let machine = Machine::new("cpu");
    let error = machine.set(r#"{"memory": {"limit": 67108864}}"#).unwrap_err().to_string();
    assert!(
        error.contains("linux.resources.memory.limit") && error.contains("no memory controller"),
        "{error}"
    );
    assert!(machine.set(r#"{"memory": {"limit": -1}, "pids": {"limit": 0}}"#).unwrap().is_empty());
    // The controller is above, and a process is there.
    machine.put("sys/fs/cgroup/box/cgroup.controllers", "cpu pids");
    machine.put("sys/fs/cgroup/box/cgroup.procs", "1\n");
    let error = machine.set(r#"{"pids": {"limit": 5}}"#).unwrap_err().to_string();
    assert!(error.contains("processes are in") && error.contains("pids"), "{error}");
    let none = Cgroup { refused: Some("/x: no".into()), ..Cgroup::empty(CgroupDriver::Folder) };
    let error =
        none.update(&serde_json::from_str(r#"{"pids": {"limit": 5}}"#).unwrap()).unwrap_err().to_string();
    assert!(error.contains("/x: no") && error.contains("Delegate=yes"), "{error}");
}

#[test]
fn files_of_the_callers_choice_are_written_line_by_line() {
    let machine = Machine::new(ALL);
    begins(
        &machine
            .set(r#"{"unified": {"memory.high": "5000000", "io.max": "8:0 rbps=1\n8:16 wbps=2"}}"#)
            .unwrap(),
        &[("io.max", "8:16 wbps=2"), ("memory.high", "5000000")],
    );
}

#[test]
fn controllers_are_handed_down_from_the_top() {
    let machine = Machine::new("cpu memory misc");
    let root = machine.folder.path();
    fs::remove_dir_all(root.join("sys/fs/cgroup/box")).unwrap();
    let hierarchies = mounted(root).unwrap();
    // The second level has no files here, as no kernel makes them.
    folder::make(&hierarchies[0], &root.join("sys/fs/cgroup/box/d"), &[]).unwrap();
    let given = fs::read_to_string(root.join("sys/fs/cgroup/cgroup.subtree_control")).unwrap();
    assert!(given.ends_with("+memory"), "one by one, what is wanted: {given:?}");
    assert!(root.join("sys/fs/cgroup/box/d").is_dir());
}

#[test]
fn the_sums_of_version_2_are_read() {
    let machine = Machine::new(ALL);
    for (name, content) in [
        ("cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 9\nnr_throttled 4\n"),
        ("memory.current", "5000\n"),
        ("memory.stat", "anon 1\ninactive_file 1000\n"),
        ("memory.max", "9000\n"),
        ("memory.peak", "8000\n"),
        ("memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
        ("pids.current", "7\n"),
        ("pids.max", "max\n"),
        ("io.stat", "8:0 rbytes=4 wbytes=8 rios=1 wios=1\n"),
    ] {
        machine.put(&format!("sys/fs/cgroup/box/c/{name}"), content);
    }
    assert_eq!(
        machine.group().stats().unwrap(),
        Stats {
            cpu_usec: 30,
            cpu_user_usec: 20,
            cpu_system_usec: 10,
            cpu_throttled_periods: 4,
            memory_bytes: 4000,
            memory_limit_bytes: Some(9000),
            memory_peak_bytes: Some(8000),
            oom_kills: 2,
            pids: 7,
            pids_limit: None,
            read_bytes: 4,
            write_bytes: 8,
        }
    );
}

#[test]
fn a_group_of_the_unified_tree_alone_can_be_cloned_into() {
    let machine = Machine::new(ALL);
    assert!(machine.group().unified().unwrap().is_some());
    let mut both = machine.group();
    both.folders.push(("memory".into(), PathBuf::from("/nowhere")));
    assert!(both.unified().unwrap().is_none());
}

#[test]
fn a_users_group_goes_beside_the_callers_own_where_that_cannot_give_controllers() {
    let machine = Machine::new(ALL);
    machine.put("proc/self/cgroup", "0::/u/session\n");
    machine.put("sys/fs/cgroup/u/session/cgroup.procs", "1\n");
    // What the kernel would give to a group below one that has it.
    machine.put("sys/fs/cgroup/u/box/cgroup.controllers", "pids");
    let hierarchy = mounted(machine.folder.path()).unwrap().remove(0);
    let place = || Place { relative: "box".into(), from_top: false };
    let enter = |resources: &str| {
        let mut group = Cgroup::empty(CgroupDriver::Folder);
        group.enter(&hierarchy, &place(), Some(&serde_json::from_str(resources).unwrap())).unwrap();
        group.folders.remove(0).1
    };
    let top = machine.folder.path().join("sys/fs/cgroup/u");
    assert_eq!(enter(r#"{"pids": {"limit": 5}}"#), top.join("box"));
    assert!(!top.join("session/box").exists());
    // Nothing is asked of controllers: right below.
    assert_eq!(enter("{}"), top.join("session/box"));
}
