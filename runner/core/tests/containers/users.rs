//! User namespaces, made by root and by ordinary users.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    process::{Command, Output},
};

use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::{
    bundle::Bundle,
    driver,
    harness::{Test, tests},
};

pub(crate) const TESTS: &[Test] = tests![
    root_maps_any_ids,
    files_of_ids_that_are_not_mapped_belong_to_nobody,
    an_ordinary_user_maps_only_itself,
    an_ordinary_user_maps_its_ranges,
    ids_that_are_not_the_users_are_refused,
];

/// Debian's `nobody`.
const NOBODY: u32 = 65534;

fn with_ids(bundle: &mut Bundle, ids: &serde_json::Value) {
    bundle.add_namespace(json!({"type": "user"}));
    bundle.set("/linux/uidMappings", ids.clone());
    bundle.set("/linux/gidMappings", ids.clone());
}

fn root_maps_any_ids() {
    let mut bundle =
        Bundle::new("id -u; cat /proc/self/uid_map /proc/self/gid_map; touch /tmp/x; stat -c %u /tmp/x");
    with_ids(
        &mut bundle,
        &json!([
            {"containerID": 0, "hostID": 300_000, "size": 10},
            {"containerID": 10, "hostID": 400_000, "size": 5},
        ]),
    );
    bundle.set("/process/user", json!({"uid": 12, "gid": 1}));
    let said = bundle.run();
    let numbers: Vec<&str> = said.out.split_whitespace().collect();
    let map = ["0", "300000", "10", "10", "400000", "5"];
    assert_eq!(numbers, [&["12"], &map[..], &map[..], &["12"]].concat(), "{said:?}");
}

fn files_of_ids_that_are_not_mapped_belong_to_nobody() {
    let mut bundle = Bundle::new("stat -c %u /bin/busybox; touch /etc/x 2>&1 || id -u");
    with_ids(&mut bundle, &json!([{"containerID": 0, "hostID": 300_000, "size": 10}]));
    let said = bundle.run();
    assert!(said.out.starts_with("65534\n") && said.out.ends_with("\n0\n"), "{said:?}");
}

/// A container made by an ordinary user who has none of root's rights.
fn as_nobody(bundle: &mut Bundle) -> Output {
    // Its sysfs and network are not a user's to make; a folder for states is.
    bundle.remove_namespace("network");
    let states = bundle.path("states");
    fs::create_dir_all(&states).unwrap();
    chown(&states, Some(NOBODY), Some(NOBODY)).unwrap();
    bundle.write();
    fs::set_permissions(bundle.path("config.json"), fs::Permissions::from_mode(0o644)).unwrap();
    let program = driver::program(bundle.folder.path());
    let id = NOBODY.to_string();
    let output = Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .arg("--")
        .arg(program)
        .args(["driver", "run"])
        .arg(bundle.folder.path())
        .arg(bundle.id.as_str())
        .output()
        .unwrap();
    assert!(fs::read_dir(states).unwrap().next().is_none(), "a state is left: {output:?}");
    output
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn an_ordinary_user_maps_only_itself() {
    let mut bundle = Bundle::new("id -u; cat /proc/self/setgroups; echo $$; exit 5");
    with_ids(&mut bundle, &json!([{"containerID": 0, "hostID": NOBODY, "size": 1}]));
    let output = as_nobody(&mut bundle);
    assert_eq!(said(&output), ("0\ndeny\n1\n".into(), String::new()));
    assert_eq!(output.status.code(), Some(5));
}

/// A line of a file that is the machine's, until this is dropped. Whoever tests with such files locks their folder.
struct Line(&'static str, &'static str);

impl Line {
    fn add(_lock: &fs::File, file: &'static str, line: &'static str) -> Self {
        let before = fs::read_to_string(file).unwrap_or_default();
        fs::write(file, format!("{before}{line}\n")).unwrap();
        Self(file, line)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = fs::read_to_string(self.0).unwrap();
        fs::write(self.0, text.replacen(&format!("{}\n", self.1), "", 1)).unwrap();
    }
}

fn an_ordinary_user_maps_its_ranges() {
    let lock = fs::File::open("/etc").unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let _uids = Line::add(&lock, "/etc/subuid", "nobody:500000:1000");
    let _gids = Line::add(&lock, "/etc/subgid", "nobody:500000:1000");
    let mut bundle = Bundle::new("id; cat /proc/self/setgroups; exit 0");
    with_ids(
        &mut bundle,
        &json!([
            {"containerID": 0, "hostID": NOBODY, "size": 1},
            {"containerID": 1, "hostID": 500_000, "size": 1000},
        ]),
    );
    bundle.set("/process/user", json!({"uid": 33, "gid": 34, "additionalGids": [35]}));
    let output = as_nobody(&mut bundle);
    assert_eq!(said(&output), ("uid=33(web) gid=34 groups=35\nallow\n".into(), String::new()));
}

fn ids_that_are_not_the_users_are_refused() {
    let mut bundle = Bundle::new("id");
    with_ids(&mut bundle, &json!([{"containerID": 0, "hostID": 700_000, "size": 10}]));
    let output = as_nobody(&mut bundle);
    let (_, told) = said(&output);
    assert_eq!(output.status.code(), Some(125));
    assert!(told.contains("mapping ids by newgidmap: ") && told.contains("/etc/subgid"), "{told}");
}
