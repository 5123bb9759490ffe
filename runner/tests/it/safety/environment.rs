//! What processes of ours keep of their caller's environment.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

use crate::supervisor::{kill, machine, until};

const SECRET: &str = "BERTH_TEST_PASSWORD";

/// The names of a process's variables.
fn variables(pid: &str) -> Vec<String> {
    let text = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.split_terminator('\0').map(|one| one.split('=').next().unwrap().to_owned()).collect()
}

fn clean(who: &str, names: &[String]) {
    let known = ["PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];
    for name in names {
        assert!(known.contains(&name.as_str()) || name.starts_with("BERTH_RUNNER_"), "{who} has {name}");
    }
    assert!(names.iter().any(|name| name == "PATH"), "{who}: {names:?}");
}

#[test]
fn a_supervisor_does_not_keep_its_callers_secrets() {
    let Some(machine) = machine() else { return };
    let root = machine.root();
    let with_secret = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env(SECRET, "hunter2").env("LD_PRELOAD_OF_TEST", "x");
        command
    };
    let arguments = machine.arguments("run", &["-d", "--name", "back"], &["sleep", "1000"], &root);
    assert!(with_secret(&arguments).output().unwrap().status.success());
    let supervisor = machine.inspect("back", ".State.ConmonPid");
    clean("the supervisor", &variables(&supervisor));
    // The next one too.
    kill(&supervisor);
    assert!(with_secret(&["boot"]).output().unwrap().status.success());
    clean("the next supervisor", &variables(&machine.inspect("back", ".State.ConmonPid")));

    let arguments = machine.arguments("run", &["--rm", "--name", "front"], &["sleep", "1000"], &root);
    let mut front = with_secret(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it runs", || machine.ok(&["ps", "--format", "{{.Names}}"]).contains("front"));
    clean("the command in the foreground", &variables(&front.id().to_string()));
    machine.ok(&["rm", "--force", "--time", "0", "--all"]);
    front.wait().unwrap();
}

#[test]
fn another_runtime_has_what_it_needs_of_the_environment_and_nothing_else() {
    let Some(machine) = machine() else { return };
    let (program, seen) = (machine.path("runtime"), machine.path("seen"));
    let script = format!("#!/bin/sh\n/usr/bin/env > {}\nexit 1\n", seen.display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let root = machine.root();
    let flags = ["--rm", "--runtime", program.to_str().unwrap()];
    let mut command = machine.command(&machine.arguments("run", &flags, &["true"], &root));
    command.env(SECRET, "hunter2").env("XDG_RUNTIME_DIR", "/run/user/0");
    command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
    assert!(!command.output().unwrap().status.success());
    let text = fs::read_to_string(&seen).unwrap();
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    // What the shell itself adds.
    names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["DBUS_SESSION_BUS_ADDRESS", "HOME", "PATH", "XDG_RUNTIME_DIR"]);
}
