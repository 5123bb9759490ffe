//! Every verb on containers.

use std::{io::Write, process::Stdio};

use super::{machine, until};

#[test]
fn a_program_in_the_foreground_has_its_input_output_and_number() {
    let Some(machine) = machine() else { return };
    let output = machine.foreground(&["--rm"], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(machine.foreground(&["--rm"], &["nope"]).status.code(), Some(127));
    assert_eq!(machine.foreground(&["--rm"], &["/etc/passwd"]).status.code(), Some(126));
    let root = machine.root();
    let mut child = machine
        .command(&machine.arguments("run", &["--rm", "-i"], &["cat"], &root))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody between keeps as much: it is read while it is written.
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(&vec![b'x'; 300_000]));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 300_000));
    machine.is_empty();
}

#[test]
fn a_container_in_the_background_is_listed_asked_and_ended() {
    let Some(machine) = machine() else { return };
    let id = machine.background("web", &["--label", "a=b"], &["sh", "-c", "echo ready; exec sleep 1000"]);
    assert_eq!(machine.ok(&["ps", "--no-trunc", "--quiet", "--filter", "label=a=b"]), id);
    assert_eq!(machine.ok(&["ps", "--quiet", "--filter", "name=other"]), "");
    until("it wrote", || machine.ok(&["logs", "web"]) == "ready");
    assert_eq!(machine.inspect("web", ".State.Status"), "running");
    assert_eq!(machine.ok(&["exec", "web", "echo", "inside"]), "inside");
    assert_eq!(machine.run(&["exec", "web", "sh", "-c", "exit 9"]).status.code(), Some(9));
    assert_eq!(machine.run(&["exec", "web", "nope"]).status.code(), Some(127));
    assert_eq!(
        machine.ok(&[
            "exec",
            "-u",
            "guest",
            "-w",
            "/tmp",
            "-e",
            "A=1",
            "web",
            "sh",
            "-c",
            "id -u; pwd; echo $A"
        ]),
        "1000\n/tmp\n1"
    );
    assert!(machine.ok(&["top", "web"]).contains("sleep 1000"));
    assert!(machine.ok(&["stats", "--no-stream", "--format", "json", "web"]).contains("\"pids\": \"1\""));
    assert_eq!(machine.run(&["rm", "web"]).status.code(), Some(1), "it runs");
    assert_eq!(machine.ok(&["stop", "-t", "0", "web"]), "web");
    assert_eq!(machine.ok(&["wait", "web"]), "137");
    assert_eq!(machine.inspect("web", ".State.Status"), "exited");
    assert_eq!(machine.ok(&["logs", "web"]), "ready", "what it wrote stays");
    assert_eq!(machine.ok(&["start", "web"]), "web");
    assert_eq!(machine.ok(&["start", "web"]), "web", "once more is no failure");
    assert_eq!(machine.ok(&["restart", "-t", "0", "web"]), "web");
    machine.ok(&["rename", "web", "front"]);
    assert_eq!(machine.ok(&["rm", "--force", "-t", "0", "front"]), "front");
    let events = machine.ok(&["events", "--stream=false", "--since", "10m", "--format", "{{.Status}}"]);
    for status in ["start", "died", "exec", "rename", "remove"] {
        assert!(events.lines().any(|line| line == status), "{status}: {events}");
    }
    machine.is_empty();
}

#[test]
fn a_file_of_the_caller_is_never_a_descriptor_inside() {
    let Some(machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("input"), folder.path().join("output"));
    let told =
        "busybox readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; cat; echo err >&2; echo out";
    // What is written there must not arrive in the caller's file.
    let script = format!("{told}; echo changed > /proc/self/fd/0");
    let root = machine.root();
    machine.background("web", &[], &["sleep", "1000"]);
    let exec = vec!["exec", "-i", "web", "sh", "-c", &script];
    let run =
        machine.arguments("run", &["--rm", "-i", "--log-driver", "none"], &["sh", "-c", &script], &root);
    for arguments in [exec, run] {
        std::fs::write(&input, "typed\n").unwrap();
        let out = std::fs::File::create(&output).unwrap();
        let mut command = machine.command(&arguments);
        command.stdin(std::fs::File::open(&input).unwrap());
        command.stdout(out.try_clone().unwrap()).stderr(out).status().unwrap();
        let said = std::fs::read_to_string(&output).unwrap();
        assert!(!said.contains(folder.path().to_str().unwrap()), "{arguments:?}: {said}");
        assert!(said.contains("typed\n") && said.contains("out\n"), "{arguments:?}: {said}");
        assert_eq!(std::fs::read_to_string(&input).unwrap(), "typed\n", "{arguments:?}: {said}");
        if arguments[0] == "exec" {
            assert!(said.contains("err\nout\n"), "one file keeps its order: {said}");
        }
    }
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    machine.is_empty();
}

#[test]
fn a_frozen_container_goes_on_and_can_be_stopped() {
    let Some(machine) = machine() else { return };
    machine.background("web", &[], &["sleep", "1000"]);
    machine.ok(&["pause", "web"]);
    assert_eq!(machine.inspect("web", ".State.Status"), "paused");
    assert_eq!(machine.run(&["pause", "web"]).status.code(), Some(1));
    assert_eq!(machine.run(&["exec", "web", "true"]).status.code(), Some(125));
    machine.ok(&["unpause", "web"]);
    assert_eq!(machine.inspect("web", ".State.Status"), "running");
    machine.ok(&["pause", "web"]);
    machine.ok(&["stop", "-t", "0", "web"]);
    machine.ok(&["rm", "web"]);
    machine.is_empty();
}

#[test]
fn a_policy_starts_it_again_and_a_person_s_stop_ends_that() {
    let Some(machine) = machine() else { return };
    machine.background("always", &["--restart", "always"], &["sh", "-c", "exit 3"]);
    until("it was started again", || {
        machine.inspect("always", ".RestartCount").parse::<u32>().unwrap_or(0) >= 2
    });
    machine.ok(&["stop", "-t", "0", "always"]);
    until("it stays ended", || machine.inspect("always", ".State.Status") == "exited");
    // By itself, or ended by the stop where that met it running.
    let code = machine.ok(&["wait", "always"]);
    assert!(["3", "137", "143"].contains(&code.as_str()), "{code}");
    machine.background("twice", &["--restart", "on-failure:2"], &["sh", "-c", "echo run; exit 4"]);
    assert_eq!(machine.ok(&["wait", "twice"]), "4");
    until("its tries are over", || machine.inspect("twice", ".State.Status") == "exited");
    assert_eq!(machine.ok(&["logs", "twice"]), "run\nrun\nrun");
    machine.background("unless", &["--restart", "unless-stopped"], &["sleep", "1000"]);
    machine.ok(&["stop", "-t", "0", "unless"]);
    let report = machine.ok(&["boot", "--dry-run"]);
    assert!(report.contains("left     unless stopped by a person"), "{report}");
    assert!(report.contains("started  always"), "{report}");
    machine.ok(&["rm", "--all", "--force", "-t", "0"]);
    machine.is_empty();
}

#[test]
fn logs_are_followed_to_the_end_over_files_that_are_turned_over() {
    let Some(machine) = machine() else { return };
    let program = ["sh", "-c", "for i in 1 2 3 4 5; do seq 1 2000; done; echo last"];
    machine.background("talk", &["--log-opt", "max-size=64k"], &program);
    let followed = machine.ok(&["logs", "--follow", "talk"]);
    assert!(followed.ends_with("last"), "{}", followed.len());
    let written = machine.ok(&["logs", "--tail", "3", "talk"]);
    assert_eq!(written, "1999\n2000\nlast");
    let folder = machine.inspect("talk", ".LogPath");
    let folder = std::path::Path::new(&folder).parent().unwrap();
    let sizes: Vec<u64> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.len() <= 3 && sizes.iter().all(|size| *size <= 128 << 10), "{sizes:?}");
    assert_eq!(machine.ok(&["logs", "--since", "1h", "--until", "30m", "talk"]), "");
    machine.ok(&["rm", "talk"]);
}

#[test]
fn health_is_checked_shown_and_acted_upon() {
    let Some(machine) = machine() else { return };
    let flags = ["--health-cmd", "test -e /tmp/well", "--health-interval", "100ms", "--health-retries", "2"];
    machine.background("well", &flags, &["sh", "-c", "touch /tmp/well; exec sleep 1000"]);
    machine.until("well", ".State.Health.Status", "healthy");
    assert!(machine.ok(&["ps"]).contains("(healthy)"));
    assert_eq!(machine.run(&["healthcheck", "run", "well"]).status.code(), Some(0));
    machine.ok(&["exec", "well", "sh", "-c", "busybox rm /tmp/well"]);
    machine.until("well", ".State.Health.Status", "unhealthy");
    machine.ok(&["rm", "--force", "-t", "0", "well"]);
    let kill = [&flags[..], &["--health-on-failure", "kill"]].concat();
    machine.background("ill", &kill, &["sleep", "1000"]);
    assert_eq!(machine.ok(&["wait", "ill"]), "137");
    machine.ok(&["rm", "ill"]);
    machine.is_empty();
}

#[test]
fn ten_at_once_start_stop_and_remove_the_same_container() {
    let Some(machine) = machine() else { return };
    let root = machine.root();
    machine.ok(&machine.arguments("create", &["--name", "web"], &["sleep", "1000"], &root));
    for arguments in
        [vec!["start", "web"], vec!["stop", "-t", "0", "web"], vec!["rm", "-f", "-t", "0", "web"]]
    {
        let children: Vec<_> = (0..10)
            .map(|_| {
                machine.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
        }
    }
    machine.is_empty();
}

#[test]
fn clients_that_are_slow_or_rude_hold_nothing_up() {
    use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType, connect, send, socket};
    let Some(machine) = machine() else { return };
    let id =
        machine.background("talk", &[], &["sh", "-c", "yes | head -c 20000000; echo done; exec sleep 1000"]);
    let folder = std::fs::File::open(machine.run_folder().join("containers").join(id)).unwrap();
    let path = format!("/proc/self/fd/{}/sock", std::os::fd::AsRawFd::as_raw_fd(&folder));
    let hostile: Vec<_> = (0..80)
        .map(|number: u32| {
            let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
            connect(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
            // Attached and never reading, nonsense, or nothing at all.
            let _refused = match number % 3 {
                0 => send(&socket, b"A\x00\x01", SendFlags::NOSIGNAL),
                1 => send(&socket, &[0xff; 2000], SendFlags::NOSIGNAL),
                _ => Ok(0),
            };
            socket
        })
        .collect();
    until("it wrote all", || machine.ok(&["logs", "--tail", "1", "talk"]) == "done");
    assert_eq!(machine.ok(&["exec", "talk", "echo", "there"]), "there");
    drop(hostile);
    assert_eq!(machine.ok(&["stop", "-t", "0", "talk"]), "talk");
    machine.ok(&["rm", "talk"]);
}

#[test]
fn a_container_outlives_the_session_that_started_it() {
    let Some(machine) = machine() else { return };
    let root = machine.root();
    let arguments = machine.arguments("run", &["-d", "--name", "web"], &["sleep", "1000"], &root);
    let runner = machine.command(&arguments);
    let mut session = std::process::Command::new("setsid");
    session.arg("--wait").arg("sh").arg("-c").arg("\"$@\"; kill -9 $$").arg("sh").arg(runner.get_program());
    session.args(runner.get_args());
    for (name, value) in runner.get_envs() {
        session.env(name, value.unwrap());
    }
    session.stdout(Stdio::null()).status().unwrap();
    assert_eq!(machine.inspect("web", ".State.Status"), "running");
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    machine.is_empty();
}
