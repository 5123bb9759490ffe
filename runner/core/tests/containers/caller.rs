//! The calling process is as it was before.

use std::fs;

use serde_json::json;

use crate::{
    bundle::Bundle,
    harness::{Test, tests},
};

pub(crate) const TESTS: &[Test] =
    tests![making_entering_and_deleting_changes_nothing_of_the_caller, a_caller_with_threads_is_refused,];

fn own() -> Vec<String> {
    let mut facts = vec![std::env::current_dir().unwrap().display().to_string()];
    for kind in
        ["mnt", "net", "ipc", "uts", "pid", "pid_for_children", "cgroup", "user", "time", "time_for_children"]
    {
        facts.push(fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string());
    }
    for file in ["cgroup", "oom_score_adj", "limits", "loginuid", "uid_map", "personality"] {
        facts.push(fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default());
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let fixed =
        ["Umask", "Uid", "Gid", "Groups", "Sig", "Cap", "NoNewPrivs", "Seccomp", "Threads", "Cpus_allowed"];
    facts.extend(
        status.lines().filter(|line| fixed.iter().any(|name| line.starts_with(name))).map(str::to_owned),
    );
    let mut open: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    open.sort();
    facts.push(open.join(" "));
    facts.push(format!("{:?}", rustix::process::dumpable_behavior().unwrap()));
    facts
}

fn making_entering_and_deleting_changes_nothing_of_the_caller() {
    let before = own();
    let mut bundle = Bundle::new("sleep 100");
    bundle.add_namespace(json!({"type": "user"}));
    bundle.add_namespace(json!({"type": "time"}));
    let ids = json!([{"containerID": 0, "hostID": 300_000, "size": 1000}]);
    bundle.set("/linux/uidMappings", ids.clone());
    bundle.set("/linux/gidMappings", ids);
    bundle.set("/process/oomScoreAdj", json!(300));
    let (container, started) = bundle.start();
    bundle.exec(&container, &bundle.process("true")).unwrap();
    container.delete(true).unwrap();
    crate::bundle::wait(&started);
    drop(started);
    assert_eq!(own(), before);
    let failing = Bundle::new("").with("/process/args", json!(["nothing"]));
    failing.create().unwrap_err();
    assert_eq!(own(), before, "also where it fails");
}

fn a_caller_with_threads_is_refused() {
    let bundle = Bundle::new("true");
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let error = bundle.create().unwrap_err().to_string();
    assert!(error.contains("more than one thread"), "{error}");
    drop(end);
    let _ended = thread.join().unwrap();
    // The kernel takes a moment to forget a thread that was joined.
    while fs::read_dir("/proc/self/task").unwrap().count() > 1 {
        std::thread::yield_now();
    }
}
