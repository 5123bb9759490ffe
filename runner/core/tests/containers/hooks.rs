//! All six kinds of hooks.

use std::{fs, os::unix::fs::PermissionsExt};

use berth_runtime::{RuntimeError, Status};
use serde_json::{Value, json};

use crate::{
    bundle::{Bundle, wait},
    harness::{Test, tests},
};

pub(crate) const TESTS: &[Test] = tests![
    hooks_run_in_the_order_of_the_specification_with_the_state,
    a_hook_that_fails_before_the_start_leaves_nothing,
    a_start_container_hook_that_fails_ends_the_container,
    a_poststart_hook_that_fails_ends_the_container,
    a_poststop_hook_that_fails_is_told_and_the_next_runs,
    a_hook_that_takes_too_long_is_ended,
    u17_hooks_get_nothing_of_the_image_or_the_caller,
];

/// A hook that notes its name and what it is given. Those inside the container note it in the container.
fn note(bundle: &Bundle, name: &str) -> Value {
    let script = format!(
        "#!/bin/busybox sh\n(echo {name}; /bin/busybox cat; echo) >> {}\n",
        bundle.path("notes").display()
    );
    let file = bundle.path(name);
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    json!({"path": file, "args": [name]})
}

fn fail(kind: &str) -> Value {
    json!({kind: [{"path": "/bin/busybox", "args": ["sh", "-c", "exit 6"]}]})
}

fn hooks_run_in_the_order_of_the_specification_with_the_state() {
    let mut bundle = Bundle::new("echo program");
    let hooks = json!({
        "poststop": [note(&bundle, "poststop")],
        "poststart": [note(&bundle, "poststart")],
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo startContainer; cat; echo; echo $PPID"]}],
        "createContainer": [note(&bundle, "createContainer")],
        "createRuntime": [note(&bundle, "createRuntime1"), note(&bundle, "createRuntime2")],
        "prestart": [note(&bundle, "prestart")],
    });
    bundle.set("/hooks", hooks);
    let (container, started) = bundle.create().unwrap();
    let notes = || -> Vec<String> {
        fs::read_to_string(bundle.path("notes")).unwrap().lines().map(str::to_owned).collect()
    };
    let names = |notes: &[String]| -> Vec<String> { notes.iter().step_by(2).cloned().collect() };
    let status = |line: &str| -> Value { serde_json::from_str::<Value>(line).unwrap() };
    assert_eq!(names(&notes()), ["prestart", "createRuntime1", "createRuntime2", "createContainer"]);
    let first = status(&notes()[1]);
    assert_eq!(first["status"], "creating");
    assert_eq!(first["pid"], started.pid);
    assert_eq!(first["id"], json!(bundle.id));
    assert_eq!(status(&notes()[7])["pid"], 1, "as the container sees itself");
    container.start().unwrap();
    assert_eq!(wait(&started), 0);
    let inside = fs::read_to_string(bundle.path("out")).unwrap();
    let inside: Vec<&str> = inside.lines().collect();
    assert_eq!([inside[0], inside[2], inside[3]], ["startContainer", "1", "program"], "{inside:?}");
    assert_eq!(status(inside[1])["status"], "created");
    assert_eq!(names(&notes())[4..], ["poststart"]);
    assert_eq!(status(&notes()[9])["status"], "running");
    assert!(container.delete(false).unwrap().is_empty());
    assert_eq!(names(&notes())[5..], ["poststop"]);
    assert_eq!(status(&notes()[11])["status"], "stopped");
}

fn a_hook_that_fails_before_the_start_leaves_nothing() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let bundle = Bundle::new("true").with("/hooks", fail(kind));
        let error = bundle.create().unwrap_err();
        assert_eq!(error.to_string(), format!("the {kind} hook /bin/busybox ended with 6"));
        assert!(matches!(bundle.runtime().open(&bundle.id), Err(RuntimeError::NotFound(_))), "{kind}");
    }
    let missing = json!({"createRuntime": [{"path": "/nowhere/hook"}]});
    let bundle = Bundle::new("true").with("/hooks", missing);
    let error = bundle.create().unwrap_err().to_string();
    assert!(
        error.starts_with("the createRuntime hook /nowhere/hook could not be started: No such file"),
        "{error}"
    );
}

fn a_start_container_hook_that_fails_ends_the_container() {
    let bundle = Bundle::new("echo ran").with("/hooks", fail("startContainer"));
    let (container, started) = bundle.create().unwrap();
    let error = container.start().unwrap_err().to_string();
    assert_eq!(error, "the startContainer hook /bin/busybox ended with 6");
    wait(&started);
    assert_eq!(container.status().unwrap(), Status::Stopped);
    assert_eq!(fs::read_to_string(bundle.path("out")).unwrap(), "");
    container.delete(false).unwrap();
}

fn a_poststart_hook_that_fails_ends_the_container() {
    let bundle = Bundle::new("sleep 100").with("/hooks", fail("poststart"));
    let (container, started) = bundle.create().unwrap();
    let error = container.start().unwrap_err().to_string();
    assert_eq!(error, "the poststart hook /bin/busybox ended with 6");
    assert_eq!(wait(&started), -9);
    container.delete(false).unwrap();
}

fn a_poststop_hook_that_fails_is_told_and_the_next_runs() {
    let mut bundle = Bundle::new("true");
    let mut hooks = fail("poststop");
    hooks["poststop"].as_array_mut().unwrap().push(note(&bundle, "poststop"));
    bundle.set("/hooks", hooks);
    let (container, started) = bundle.start();
    wait(&started);
    let failed = container.delete(false).unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].to_string(), "the poststop hook /bin/busybox ended with 6");
    assert!(fs::read_to_string(bundle.path("notes")).unwrap().starts_with("poststop\n"));
    assert!(matches!(bundle.runtime().open(&bundle.id), Err(RuntimeError::NotFound(_))));
}

fn a_hook_that_takes_too_long_is_ended() {
    let slow = json!({"createRuntime": [{"path": "/bin/busybox", "args": ["sleep", "100"], "timeout": 1}]});
    let bundle = Bundle::new("true").with("/hooks", slow);
    let error = bundle.create().unwrap_err().to_string();
    assert_eq!(error, "the createRuntime hook /bin/busybox took longer than its 1 seconds and was ended");
}

fn u17_hooks_get_nothing_of_the_image_or_the_caller() {
    let mut bundle = Bundle::new("true");
    let file = bundle.path("environment");
    let script = format!("/bin/busybox env > {}", file.display());
    bundle.set("/process/env", json!(["PATH=/bin", "LD_PRELOAD=/evil.so", "FROM_IMAGE=1"]));
    bundle.set(
        "/hooks",
        json!({"createRuntime": [{"path": "/bin/busybox", "args": ["sh", "-c", script], "env": ["OWN=1"]}]}),
    );
    assert_eq!(bundle.run().code, 0);
    let environment = fs::read_to_string(file).unwrap();
    assert!(environment.contains("OWN=1\n"), "{environment}");
    // A shell adds variables of its own.
    let known = |line: &&str| {
        ["OWN=", "PATH=/sbin:", "PWD=", "SHLVL=", "OLDPWD="].iter().any(|name| line.starts_with(name))
    };
    assert_eq!(environment.lines().filter(|line| !known(line)).collect::<Vec<_>>(), [""; 0], "{environment}");
}
