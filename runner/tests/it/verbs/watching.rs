//! `events` and `wait`.

use serde_json::Value;

use super::Going;
use crate::supervisor::{machine, until};

#[test]
fn what_happens_is_told_while_it_happens_and_filters_say_of_what() {
    let Some(machine) = machine() else { return };
    machine.background("other", &[], &["true"]);
    machine.ok(&["wait", "other"]);
    let filters = ["--filter", "container=web", "--filter", "label=kind=a"];
    let arguments = [&["events", "--since", "10m", "--format", "json"][..], &filters].concat();
    let mut events = Going::start(&machine, &arguments);
    let mut next = |status: &str| {
        let line = events.line();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((event["Status"].as_str(), event["Name"].as_str()), (Some(status), Some("web")), "{line}");
        event
    };
    let flags = ["--label", "kind=a"];
    let id = machine.background(
        "web",
        &flags,
        &["sh", "-c", "while ! [ -e /tmp/go ]; do busybox usleep 10000; done; exit 3"],
    );
    assert_eq!(next("create")["ID"], Value::from(id.as_str()));
    assert_eq!(next("start")["Attributes"]["kind"], "a");
    machine.ok(&["exec", "web", "touch", "/tmp/go"]);
    next("exec");
    assert_eq!(next("died")["ContainerExitCode"], 3);
    machine.ok(&["rm", "web"]);
    next("remove");
    drop(events);

    let told = |arguments: &[&str]| {
        let fixed = ["events", "--stream=false", "--format", "{{.Name}} {{.Status}}"];
        machine.ok(&[&fixed[..], arguments].concat())
    };
    assert_eq!(told(&["--filter", "event=died"]), "other died\nweb died");
    assert_eq!(
        told(&["--filter", "event=died", "--filter", "event=create", "--filter", "container=web"]),
        "web create\nweb died"
    );
    assert_eq!(told(&["--since", "1h", "--until", "30m"]), "");
    machine.background("long", &[], &["sleep", "1000"]);
    machine.ok(&["restart", "-t", "0", "long"]);
    machine.ok(&["kill", "-s", "HUP", "long"]);
    machine.ok(&["rm", "--force", "-t", "0", "long"]);
    let mut of_long: Vec<String> =
        told(&["--filter", "container=long"]).lines().map(|line| line["long ".len()..].to_owned()).collect();
    of_long.sort();
    for (status, times) in
        [("create", 1), ("start", 2), ("stop", 2), ("died", 2), ("kill", 1), ("restart", 1), ("remove", 1)]
    {
        assert_eq!(of_long.iter().filter(|known| *known == status).count(), times, "{status}: {of_long:?}");
    }
    // With an end in the past it ends, and does not go on.
    let ended = machine.ok(&["events", "--since", "1h", "--until", "0s", "--filter", "event=remove"]);
    assert_eq!(ended.lines().count(), 2, "{ended}");
    assert_eq!(machine.run(&["events", "--filter", "colour=red"]).status.code(), Some(2));
    // A switch without a value takes none of the words behind it.
    machine.ok(&["events", "--stream", "--until", "0s"]);
    machine.ok(&["rm", "other"]);
    machine.is_empty();
}

#[test]
fn one_waits_for_what_a_container_becomes() {
    let Some(machine) = machine() else { return };
    let root = machine.root();
    let health = ["--health-cmd", "test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "1"];
    let flags = [&["--name", "web"][..], &health].concat();
    machine.ok(&machine.arguments("create", &flags, &["sleep", "1000"], &root));
    assert_eq!(machine.ok(&["wait", "--condition", "created", "web"]), "0");
    let becomes = |condition: &str, act: &[&str]| {
        let mut waiting = Going::start(&machine, &["wait", "--condition", condition, "web"]);
        let folder = format!("/proc/{}/fdinfo", waiting.child.id());
        let watches = |file: std::fs::DirEntry| {
            std::fs::read_to_string(file.path()).is_ok_and(|text| text.contains("inotify wd"))
        };
        until("it watches, or need not", || {
            waiting.child.try_wait().unwrap().is_some()
                || std::fs::read_dir(&folder).is_ok_and(|files| files.flatten().any(watches))
        });
        machine.ok(act);
        let code = waiting.line();
        assert_eq!(waiting.code(), Some(0), "{condition}");
        code
    };
    assert_eq!(becomes("running", &["start", "web"]), "0");
    becomes("unhealthy", &["exec", "web", "true"]);
    becomes("healthy", &["exec", "web", "touch", "/tmp/well"]);
    becomes("paused", &["pause", "web"]);
    becomes("running,exited", &["unpause", "web"]);
    assert_eq!(becomes("exited", &["kill", "web"]), "137");
    becomes("removing", &["rm", "web"]);
    assert_eq!(machine.run(&["wait", "web"]).status.code(), Some(1));
    assert_eq!(machine.ok(&["wait", "--ignore", "web"]), "-1");
    assert_eq!(machine.run(&["wait", "--condition", "happy", "web"]).status.code(), Some(2));
    machine.is_empty();
}
