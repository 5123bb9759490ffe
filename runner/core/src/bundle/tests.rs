use serde_json::{Value, json};

use super::*;

fn good() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"], "env": ["A=b"], "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
    })
}

fn told(config: &Value) -> String {
    check(&serde_json::from_value(config.clone()).unwrap())
        .map_or_else(|error| error.to_string(), |()| "fine".into())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut config = good();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[name] = value;
    config
}

#[test]
fn a_small_configuration_is_fine() {
    assert_eq!(told(&good()), "fine");
    assert_eq!(told(&with("/ociVersion", json!("1.0.2-dev"))), "fine");
    assert_eq!(told(&with("/somethingNew", json!({"a": 1}))), "fine");
}

#[test]
fn every_fault_is_told_at_once() {
    let mut config = with("/process/cwd", json!("srv"));
    config["ociVersion"] = json!("2.0.0");
    config["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "mount", "path": "x"}]);
    let told = told(&config);
    assert!(told.starts_with("config.json: 4 problems\n"), "{told}");
    for line in [
        "ociVersion: 2.0.0",
        "process.cwd: \"srv\"",
        "linux.namespaces[1]: mnt is there twice",
        "[1].path: x",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[test]
fn each_rule_names_its_field() {
    let user = |rest: Value| {
        let mut linux = json!({"namespaces": [{"type": "mount"}, {"type": "user"}]});
        linux.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        with("/linux", linux)
    };
    let one = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    let cases = [
        (with("/ociVersion", json!("new")), "ociVersion"),
        (with("/root", Value::Null), "root: is missing"),
        (with("/process", Value::Null), "process: is missing"),
        (with("/process/args", json!([])), "process.args"),
        (with("/process/args", json!(["a\u{0}b"])), "process.args[0]"),
        (with("/process/env", json!(["=b"])), "process.env[0]"),
        (with("/process/oomScoreAdj", json!(2000)), "process.oomScoreAdj"),
        (
            with("/process/rlimits", json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}])),
            "process.rlimits[0]",
        ),
        (with("/linux/namespaces", json!([])), "linux.namespaces: has no mount namespace"),
        (with("/linux/uidMappings", one.clone()), "linux.uidMappings: needs a user namespace"),
        (user(json!({})), "linux.gidMappings: is empty"),
        (
            user(json!({"uidMappings": one, "gidMappings": [{"containerID": 5, "hostID": 5, "size": 1}]})),
            "linux.gidMappings: does not map id 0",
        ),
        (
            user(
                json!({"uidMappings": [{"containerID": 0, "hostID": 1, "size": 5}, {"containerID": 4, "hostID": 9, "size": 1}],
                        "gidMappings": one}),
            ),
            "linux.uidMappings[1]: maps ids that linux.uidMappings[0]",
        ),
        (
            with("/linux/timeOffsets", json!({"monotonic": {"secs": 5}})),
            "linux.timeOffsets: needs a new time namespace",
        ),
        (with("/hostname", json!("box")), "hostname: would change the machine's"),
        (with("/mounts", json!([{"destination": "proc"}])), "mounts[0].destination"),
        (with("/hooks", json!({"poststop": [{"path": "x"}]})), "hooks.poststop[0].path"),
        (with("/hooks", json!({"prestart": [{"path": "/x", "timeout": 0}]})), "hooks.prestart[0].timeout"),
        (with("/linux/sysctl", json!({"kernel.panic": "1"})), "linux.sysctl.kernel.panic"),
        (with("/linux/intelRdt", json!({})), "linux.intelRdt"),
    ];
    for (config, wanted) in cases {
        let told = told(&config);
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}

#[test]
fn a_user_that_is_not_mapped_is_refused() {
    let mut config = with("/process/user", json!({"uid": 7, "gid": 0, "additionalGids": [3]}));
    let one = json!([{"containerID": 0, "hostID": 1000, "size": 2}]);
    config["linux"] =
        json!({"namespaces": [{"type": "mount"}, {"type": "user"}], "uidMappings": one, "gidMappings": one});
    let told = told(&config);
    assert!(told.contains("process.user.uid: 7 is not mapped"), "{told}");
    assert!(told.contains("process.user.additionalGids: 3 is not mapped"), "{told}");
}

#[test]
fn more_ranges_of_ids_than_the_kernel_takes_are_refused_unread() {
    let range = |first: u32| json!({"containerID": first, "hostID": first + 100_000, "size": 1});
    let mut config = with("/linux/namespaces", json!([{"type": "mount"}, {"type": "user"}]));
    config["linux"]["gidMappings"] = json!([range(0)]);
    config["linux"]["uidMappings"] = (0..340).map(range).collect();
    assert_eq!(told(&config), "fine");
    config["linux"]["uidMappings"] = vec![range(0); 20_000].into();
    let told = told(&config);
    assert!(told.contains("linux.uidMappings: has 20000 ranges, and the kernel takes 340"), "{told}");
}
