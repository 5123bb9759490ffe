//! Each namespace made, joined and left alone.

use std::fs;

use serde_json::json;

use crate::{
    bundle::{Bundle, wait},
    harness::{Test, tests},
};

pub(crate) const TESTS: &[Test] = tests![
    each_namespace_is_made,
    what_is_not_asked_for_is_the_callers,
    each_namespace_is_joined,
    a_joined_pid_namespace_leaves_the_process_a_child_of_the_caller,
    offsets_of_a_time_namespace_are_set,
    the_loopback_of_a_new_network_is_up,
    a_namespace_of_another_type_is_refused,
];

/// Names in the specification and in `/proc`.
const KINDS: [(&str, &str); 8] = [
    ("mount", "mnt"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("pid", "pid"),
    ("cgroup", "cgroup"),
    ("user", "user"),
    ("time", "time"),
];

const TELL: &str = "for kind in mnt net ipc uts pid cgroup user time; do readlink /proc/self/ns/$kind; done";

fn of(pid: &str) -> Vec<String> {
    KINDS
        .map(|(_, name)| {
            fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().to_str().unwrap().to_owned()
        })
        .to_vec()
}

fn all(bundle: &mut Bundle) {
    for (kind, _) in KINDS {
        bundle.add_namespace(json!({"type": kind}));
    }
    let ids = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    bundle.set("/linux/uidMappings", ids.clone());
    bundle.set("/linux/gidMappings", ids);
}

fn each_namespace_is_made() {
    let mut bundle = Bundle::new(TELL);
    all(&mut bundle);
    let said = bundle.run();
    assert_eq!(said.code, 0, "{said:?}");
    let inside: Vec<&str> = said.out.lines().collect();
    assert_eq!(inside.len(), KINDS.len());
    for ((kind, _), (inside, outside)) in KINDS.iter().zip(inside.iter().zip(of("self"))) {
        assert_ne!(*inside, outside, "{kind}");
    }
}

fn what_is_not_asked_for_is_the_callers() {
    let mut bundle = Bundle::new(TELL);
    bundle.set("/linux/namespaces", json!([{"type": "mount"}]));
    let said = bundle.run();
    let own = of("self");
    assert_eq!(said.out.lines().skip(1).collect::<Vec<_>>(), own[1..], "{said:?}");
    assert_ne!(said.out.lines().next().unwrap(), own[0]);
}

fn each_namespace_is_joined() {
    let mut one = Bundle::new("sleep 100");
    all(&mut one);
    let (first, started) = one.start();
    let theirs = of(&started.pid.to_string());
    for (at, (kind, name)) in KINDS.iter().enumerate() {
        // A new root is mounted by whoever joins a mount namespace, which would be the first container's then.
        if *kind == "mount" {
            continue;
        }
        let mut bundle = Bundle::new(TELL);
        if *kind == "time" || *kind == "cgroup" {
            // They belong to the user namespace of the first.
            bundle.add_namespace(json!({"type": "user", "path": format!("/proc/{}/ns/user", started.pid)}));
        }
        bundle.add_namespace(json!({"type": kind, "path": format!("/proc/{}/ns/{name}", started.pid)}));
        let said = bundle.run();
        assert_eq!(said.out.lines().nth(at), Some(theirs[at].as_str()), "{kind}: {said:?}");
    }
    let mut bundle = Bundle::new(TELL);
    for (kind, name) in KINDS.iter().skip(1) {
        bundle.add_namespace(json!({"type": kind, "path": format!("/proc/{}/ns/{name}", started.pid)}));
    }
    let said = bundle.run();
    assert_eq!(said.out.lines().skip(1).collect::<Vec<_>>(), theirs[1..], "all at once: {said:?}");
    first.delete(true).unwrap();
}

fn a_joined_pid_namespace_leaves_the_process_a_child_of_the_caller() {
    let one = Bundle::new("sleep 100");
    let (first, started) = one.start();
    let mut two = Bundle::new("echo $$; exit 4");
    two.add_namespace(json!({"type": "pid", "path": format!("/proc/{}/ns/pid", started.pid)}));
    let (second, joined) = two.start();
    assert_eq!(wait(&joined), 4, "waiting works for own children only");
    let inside: i32 = fs::read_to_string(two.path("out")).unwrap().trim().parse().unwrap();
    assert!(inside > 1, "{inside}");
    second.delete(false).unwrap();
    first.delete(true).unwrap();
}

fn offsets_of_a_time_namespace_are_set() {
    let mut bundle = Bundle::new("cat /proc/uptime");
    bundle.add_namespace(json!({"type": "time"}));
    bundle.set("/linux/timeOffsets", json!({"boottime": {"secs": 10_000_000}, "monotonic": {"secs": 5}}));
    let said = bundle.run();
    let seconds: f64 = said.out.split(' ').next().unwrap().parse().unwrap();
    assert!(seconds > 10_000_000.0, "{said:?}");
}

fn the_loopback_of_a_new_network_is_up() {
    let said = Bundle::new("ip addr show lo").run();
    assert!(said.out.contains("127.0.0.1/8"), "{said:?}");
}

fn a_namespace_of_another_type_is_refused() {
    let mut bundle = Bundle::new("true");
    bundle.add_namespace(json!({"type": "network", "path": "/proc/self/ns/uts"}));
    let error = bundle.create().unwrap_err().to_string();
    assert!(error.contains("joining the net namespace /proc/self/ns/uts: Invalid argument"), "{error}");
    bundle.add_namespace(json!({"type": "network", "path": "/nowhere"}));
    let error = bundle.create().unwrap_err().to_string();
    assert!(error.contains("opening the net namespace /nowhere: No such file"), "{error}");
}
