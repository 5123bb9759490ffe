//! Created, started, signalled, ended, deleted.

use berth_runtime::{RuntimeError, Status};
use rustix::process::Signal;
use serde_json::json;

use crate::{
    bundle::{Bundle, wait},
    driver,
    harness::{Test, tests, until},
};

pub(crate) const TESTS: &[Test] = tests![
    a_container_goes_through_all_states,
    the_program_does_not_run_before_the_start,
    the_start_may_come_from_another_process,
    a_second_container_of_the_same_id_is_refused_and_changes_nothing,
    a_container_starts_once,
    what_runs_is_not_deleted_without_force,
    signals_reach_the_first_process_and_all_processes,
    a_container_that_ended_takes_no_signal,
    a_paused_container_is_not_entered_and_ends_by_kill,
    containers_are_listed_until_they_are_deleted,
    a_recycled_process_id_is_not_the_container,
    what_shares_the_pid_namespace_is_killed_too,
    a_caller_that_ends_takes_its_container_along_unless_it_is_detached,
];

fn a_container_goes_through_all_states() {
    let bundle = Bundle::new("exit 3").with("/annotations", json!({"a.b": "c"}));
    let (container, started) = bundle.create().unwrap();
    assert_eq!(container.status().unwrap(), Status::Created);
    let state = serde_json::to_value(container.state().unwrap()).unwrap();
    let folder = bundle.folder.path().to_str().unwrap();
    assert_eq!(
        state,
        json!({"ociVersion": "1.2.0", "id": bundle.id, "status": "created", "pid": started.pid, "bundle": folder,
               "annotations": {"a.b": "c"}})
    );
    container.start().unwrap();
    assert_eq!(wait(&started), 3);
    assert_eq!(container.status().unwrap(), Status::Stopped);
    assert_eq!(container.state().unwrap().pid(), &None);
    container.delete(false).unwrap();
    assert!(matches!(bundle.runtime().open(&bundle.id), Err(RuntimeError::NotFound(_))));
    assert!(std::fs::read_dir(bundle.path("states")).unwrap().next().is_none());
}

fn the_program_does_not_run_before_the_start() {
    let bundle = Bundle::new("echo ran");
    let (container, started) = bundle.create().unwrap();
    assert_eq!(container.status().unwrap(), Status::Created);
    assert_eq!(std::fs::read_to_string(bundle.path("out")).unwrap(), "");
    container.start().unwrap();
    assert_eq!(wait(&started), 0);
    assert_eq!(std::fs::read_to_string(bundle.path("out")).unwrap(), "ran\n");
    container.delete(false).unwrap();
}

fn the_start_may_come_from_another_process() {
    let bundle = Bundle::new("echo $$");
    let (container, started) = bundle.create().unwrap();
    let output = driver::command("start", &bundle).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(wait(&started), 0);
    assert_eq!(std::fs::read_to_string(bundle.path("out")).unwrap(), "1\n");
    container.delete(false).unwrap();
}

fn a_second_container_of_the_same_id_is_refused_and_changes_nothing() {
    let bundle = Bundle::new("sleep 100");
    let (container, _started) = bundle.start();
    let error = bundle.create().unwrap_err();
    assert!(matches!(error, RuntimeError::Exists(_)), "{error}");
    assert_eq!(container.status().unwrap(), Status::Running);
    container.delete(true).unwrap();
}

fn a_container_starts_once() {
    let bundle = Bundle::new("sleep 100");
    let (container, _started) = bundle.start();
    let error = container.start().unwrap_err();
    assert!(matches!(error, RuntimeError::State { is: Status::Running, .. }), "{error}");
    container.delete(true).unwrap();
}

fn what_runs_is_not_deleted_without_force() {
    let bundle = Bundle::new("sleep 100");
    let (container, started) = bundle.start();
    let error = container.clone().delete(false).unwrap_err();
    assert!(matches!(error, RuntimeError::State { is: Status::Running, .. }), "{error}");
    container.delete(true).unwrap();
    assert_eq!(wait(&started), -Signal::KILL.as_raw());
}

fn signals_reach_the_first_process_and_all_processes() {
    let bundle = Bundle::new(
        "trap 'exit 9' USR1; (trap 'echo child; exit' USR1; echo ready; while :; do sleep 0.01; done) & while :; do sleep 0.01; done",
    );
    let (container, started) = bundle.start();
    until("the child is ready", || std::fs::read_to_string(bundle.path("out")).unwrap() == "ready\n");
    container.kill(Signal::USR1.as_raw(), true).unwrap();
    assert_eq!(wait(&started), 9);
    container.delete(false).unwrap();
    let bundle = Bundle::new("sleep 100");
    let (container, started) = bundle.start();
    // The first real-time signal has no name; the first process of a pid namespace is spared by all but KILL.
    container.kill(34, false).unwrap();
    container.kill(Signal::KILL.as_raw(), false).unwrap();
    assert_eq!(wait(&started), -Signal::KILL.as_raw());
    container.delete(false).unwrap();
}

fn a_container_that_ended_takes_no_signal() {
    let bundle = Bundle::new("true");
    let (container, started) = bundle.start();
    wait(&started);
    for all in [false, true] {
        let error = container.kill(15, all).unwrap_err();
        assert!(matches!(error, RuntimeError::State { is: Status::Stopped, .. }), "{error}");
    }
    container.delete(false).unwrap();
}

fn a_paused_container_is_not_entered_and_ends_by_kill() {
    let bundle = Bundle::new("sleep 100");
    let (container, started) = bundle.start();
    container.pause().unwrap();
    assert_eq!(container.status().unwrap(), Status::Paused);
    assert_eq!(container.state().unwrap().status().to_string(), "running");
    let error = bundle.exec(&container, &bundle.process("true")).unwrap_err();
    assert!(matches!(error, RuntimeError::State { is: Status::Paused, .. }), "{error}");
    container.resume().unwrap();
    assert_eq!(container.status().unwrap(), Status::Running);
    assert!(container.resume().is_err());
    container.pause().unwrap();
    container.kill(Signal::KILL.as_raw(), false).unwrap();
    assert_eq!(wait(&started), -Signal::KILL.as_raw());
    container.delete(false).unwrap();
}

fn containers_are_listed_until_they_are_deleted() {
    let bundle = Bundle::new("true");
    assert!(bundle.runtime().list().unwrap().is_empty());
    let (container, _started) = bundle.create().unwrap();
    let listed: Vec<_> =
        bundle.runtime().list().unwrap().iter().map(|container| container.id().clone()).collect();
    assert_eq!(listed, std::slice::from_ref(&bundle.id));
    container.delete(false).unwrap();
    assert!(bundle.runtime().list().unwrap().is_empty());
}

fn a_recycled_process_id_is_not_the_container() {
    let bundle = Bundle::new("true");
    let (container, started) = bundle.start();
    wait(&started);
    // As if this process had been given the number of the one that ended.
    let mut other = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    let file = bundle.path("states").join(bundle.id.as_str()).join("state.json");
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    record["init"]["pid"] = json!(other.id());
    std::fs::write(&file, record.to_string()).unwrap();
    let found = (container.status().unwrap(), container.pid().unwrap());
    let killed = container.kill(Signal::KILL.as_raw(), false);
    container.delete(true).unwrap();
    let lives = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(found, (Status::Stopped, None));
    assert!(killed.is_err() && lives);
}

fn what_shares_the_pid_namespace_is_killed_too() {
    let mut bundle = Bundle::new("sleep 100 & echo $!; exit 0");
    bundle.remove_namespace("pid");
    let (container, started) = bundle.start();
    assert_eq!(wait(&started), 0);
    let orphan: i32 = std::fs::read_to_string(bundle.path("out")).unwrap().trim().parse().unwrap();
    assert!(std::fs::exists(format!("/proc/{orphan}")).unwrap());
    assert_eq!(container.processes().unwrap(), [orphan]);
    container.delete(true).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{orphan}/status")).unwrap_or_default();
    assert!(status.is_empty() || status.contains("State:\tZ"), "{status}");
}

fn a_caller_that_ends_takes_its_container_along_unless_it_is_detached() {
    use std::process::Stdio;
    let bundle = Bundle::new("echo up; exec sleep 100");
    bundle.write();
    let mut caller = driver::command("run", &bundle).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 3];
    std::io::Read::read_exact(caller.stdout.as_mut().unwrap(), &mut line).unwrap();
    caller.kill().unwrap();
    // The container holds the pipe as long as it lives.
    std::io::Read::read_to_end(caller.stdout.as_mut().unwrap(), &mut Vec::new()).unwrap();
    caller.wait().unwrap();
    let container = bundle.runtime().open(&bundle.id).unwrap();
    until("it ends with its caller", || container.status().unwrap() == Status::Stopped);
    container.delete(false).unwrap();

    let bundle = Bundle::new("sleep 100");
    bundle.write();
    let output =
        driver::command("create", &bundle).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(output.success());
    let container = bundle.runtime().open(&bundle.id).unwrap();
    assert_eq!(container.status().unwrap(), Status::Created);
    container.start().unwrap();
    assert_eq!(container.status().unwrap(), Status::Running);
    container.delete(true).unwrap();
}
