//! What runs for long: started again with growing waits, asked for its health, watched by a service manager.

use std::os::unix::net::UnixDatagram;

use jiff::Timestamp;

use crate::supervisor::{machine, until};

#[test]
fn what_fails_at_once_is_started_again_after_waits_that_double() {
    let Some(machine) = machine() else { return };
    machine.background("crash", &["--restart", "on-failure:4"], &["sh", "-c", "exit 3"]);
    until("its tries are over", || {
        machine.inspect("crash", ".State.Status") == "exited"
            && machine.inspect("crash", ".RestartCount") == "4"
    });
    let times = |status: &str| -> Vec<Timestamp> {
        let filter = format!("event={status}");
        let told = machine.ok(&["events", "--stream=false", "--filter", &filter, "--format", "json"]);
        let time = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["Time"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap()
        };
        told.lines().map(time).collect()
    };
    let (began, ended) = (times("start"), times("died"));
    assert_eq!((began.len(), ended.len()), (5, 5));
    for (round, shortest) in [100, 200, 400, 800].into_iter().enumerate() {
        let waited = began[round + 1].duration_since(ended[round]).as_millis();
        assert!(waited >= shortest - 20, "{round}: {waited} ms");
    }
    machine.ok(&["rm", "crash"]);
    machine.is_empty();
}

#[test]
fn health_is_seen_in_ps_from_the_first_check_on() {
    let Some(machine) = machine() else { return };
    let flags = [
        "--health-cmd",
        "test -e /tmp/well",
        "--health-interval",
        "100ms",
        "--health-retries",
        "2",
        "--health-start-period",
        "1h",
    ];
    machine.background("web", &flags, &["sleep", "1000"]);
    let shown = |state: &str| machine.ok(&["ps", "--format", "{{.Status}}"]).contains(&format!("({state})"));
    assert!(shown("starting"));
    assert_eq!(machine.ok(&["ps", "--quiet", "--filter", "health=healthy"]), "");
    // In the time of the start a failure does not count, and a success ends it.
    assert_eq!(machine.run(&["healthcheck", "run", "web"]).status.code(), Some(1));
    assert!(shown("starting"));
    machine.ok(&["exec", "web", "touch", "/tmp/well"]);
    until("it is well", || shown("healthy"));
    machine.ok(&["exec", "web", "sh", "-c", "busybox rm /tmp/well"]);
    until("it is ill", || shown("unhealthy"));
    assert_ne!(machine.ok(&["ps", "--quiet", "--filter", "health=unhealthy"]), "");
    let told = machine.ok(&[
        "events",
        "--stream=false",
        "--filter",
        "event=health_status",
        "--format",
        "{{.HealthStatus}}",
    ]);
    for state in ["starting", "healthy", "unhealthy"] {
        assert!(told.lines().any(|line| line == state), "{state}: {told}");
    }
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    machine.is_empty();
}

#[test]
fn a_program_says_itself_that_it_is_ready_by_the_socket_that_it_has() {
    let Some(image) = super::Image::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    // As a service manager's is.
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let script = "use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; \
                  send(S, 'READY=1', 0, sockaddr_un($ENV{NOTIFY_SOCKET})) or die $!;";
    let program = ["-v", "/usr:/usr:ro", "test:latest", "/usr/bin/perl", "-e", script];
    let told = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let both = || {
        let mut both = [told(), told()];
        both.sort();
        both
    };
    let run = |flags: &[&str]| {
        let arguments = [&["run", "--sdnotify=container"][..], flags, &super::NONE, &program].concat();
        let output = image.0.command(&arguments).env("NOTIFY_SOCKET", &path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run(&["--rm"]);
    let [first, second] = both();
    assert!(
        first.starts_with("MAINPID=") && !first.contains("READY") && second == "READY=1",
        "{first} {second}"
    );
    run(&["-d", "--name", "web"]);
    assert_eq!(both()[1], "READY=1");
    image.ok(&["wait", "web"]);
    image.ok(&["rm", "web"]);
    image.ok(&[&["create", "--name", "web"][..], &super::NONE, &program].concat());
    // By whoever starts it, who need not be who made it.
    let mut start = image.0.command(&["start", "web"]);
    assert!(start.env("NOTIFY_SOCKET", &path).output().unwrap().status.success());
    assert_eq!(both()[1], "READY=1");
}

#[test]
fn between_two_runs_a_container_is_never_said_to_have_ended_for_good() {
    let Some(machine) = machine() else { return };
    let root = machine.root();
    machine.ok(&machine.arguments(
        "create",
        &["--name", "crash", "--restart", "on-failure:3"],
        &["sh", "-c", "exit 3"],
        &root,
    ));
    machine.ok(&["start", "crash"]);
    let mut seen = Vec::new();
    loop {
        let told = machine.inspect("crash", ".State.Status}} {{.RestartCount");
        let ended = told == "exited 3";
        seen.push(told);
        if ended {
            break;
        }
        assert!(
            !seen.iter().any(|told| told.starts_with("exited") || told.starts_with("created")),
            "{seen:?}"
        );
    }
    machine.ok(&["rm", "crash"]);
    machine.is_empty();
}
