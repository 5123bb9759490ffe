//! What an operator meets: ports that stay taken, networks that go with their last container, a machine that restarts,
//! many containers stopped at once.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use super::{
    net::machine::Machine as Network,
    supervisor::{kill, machine, until},
};

/// Arguments of `run` for a container of a root's own on a bridge.
fn on_a_bridge<'a>(name: &'a str, root: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let rest = ["--userns", "host", "--rootfs", root, "sleep", "1000"];
    [&["run", "-d", "--name", name][..], &limits, flags, &rest].concat()
}

fn listens(network: &Network, port: u16) -> bool {
    !network.host.shell(&format!("ss -Hltn 'sport = :{port}'")).is_empty()
}

fn ok(network: &Network, arguments: &[&str]) -> String {
    let output = network.runner(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_published_port_is_held_while_its_container_runs_and_free_afterwards() {
    let Some(machine) = machine() else { return };
    let (network, root) = (Network::new(), machine.root());
    ok(&network, &on_a_bridge("web", &root, &["-p", "8080:80"]));
    // In the process that the supervisor became by exec.
    assert!(listens(&network, 8080), "another program could take the port");
    let thief = network.runner(&on_a_bridge("thief", &root, &["-p", "8080:81"]));
    assert!(String::from_utf8_lossy(&thief.stderr).contains("in use by container web"), "{thief:?}");
    kill(&ok(&network, &["inspect", "--format", "{{.State.ConmonPid}}", "web"]));
    until("nobody holds the port", || !listens(&network, 8080));
    ok(&network, &["boot"]);
    assert!(listens(&network, 8080), "the next supervisor takes it again");
    ok(&network, &["stop", "-t", "0", "web"]);
    assert!(!listens(&network, 8080));
    ok(&network, &["start", "web"]);
    assert!(listens(&network, 8080));
    ok(&network, &["rm", "--force", "--time", "0", "--all"]);
    assert!(!listens(&network, 8080));
}

/// Runs `true` on a bridge in the foreground, and answers with the bridges of the machine.
fn foreground(network: &Network, root: &str, flags: &[&str], variable: &str) -> String {
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    let words =
        [&["run", "--rm"][..], &limits, flags, &["--userns", "host", "--rootfs", root, "true"]].concat();
    let ran = network.command(&words).env(variable, "1").output().unwrap();
    assert!(ran.status.success(), "{words:?}: {ran:?}");
    let bridges = network.host.shell("ip -o link show type bridge");
    bridges.lines().filter_map(|line| line.split(':').next()).collect::<Vec<_>>().join(" ")
}

#[test]
fn nobody_waits_for_the_bridge_of_a_container_in_the_foreground_and_the_next_one_finds_it() {
    let Some(machine) = machine() else { return };
    let (network, root) = (Network::new(), machine.root());
    let first = foreground(&network, &root, &[], "BERTH_TEST");
    assert_ne!(first, "", "the next one has a use for it");
    assert_eq!(foreground(&network, &root, &[], "BERTH_TEST"), first, "it is the same one");
    until("nobody came, and it went", || network.left().is_empty());
    assert_ne!(foreground(&network, &root, &[], "BERTH_TEST"), "");
    network.network(&["reload"]);
    let bridges_and_rules = || network.host.shell("ip -o link show type bridge; nft list tables");
    assert_eq!(bridges_and_rules(), "", "whoever settles the networks takes it away at once");
    // What a firewall's rules lead to, and what a service manager ends with its first process, does not wait.
    assert_eq!(foreground(&network, &root, &["-p", "8080:80"], "BERTH_TEST"), "");
    assert_eq!(foreground(&network, &root, &[], "INVOCATION_ID"), "");
    until("the kernel took the namespaces apart", || network.left().is_empty());
}

#[test]
fn the_last_container_of_a_network_takes_its_bridge_and_its_rules_with_it() {
    let Some(machine) = machine() else { return };
    let (network, root) = (Network::new(), machine.root());
    network.network(&["create", "red"]);
    ok(&network, &on_a_bridge("one", &root, &["--network", "red"]));
    ok(&network, &on_a_bridge("two", &root, &["--network", "red"]));
    ok(&network, &on_a_bridge("other", &root, &[]));
    let bridges = || network.host.shell("ip -o link show type bridge").lines().count();
    assert_eq!(bridges(), 2);
    ok(&network, &["rm", "--force", "--time", "0", "one"]);
    assert_eq!(bridges(), 2, "two is on it still");
    ok(&network, &["rm", "--force", "--time", "0", "two"]);
    assert_eq!(bridges(), 1, "the other network stays");
    assert!(!network.host.shell("nft list tables").is_empty());
    ok(&network, &["rm", "--force", "--time", "0", "other"]);
    assert_eq!(bridges(), 0);
    assert_eq!(network.host.shell("nft list tables"), "");
    until("the kernel took the namespaces apart", || network.left().is_empty());
    until("the name servers ended", || network.name_servers().is_empty());
    assert!(network.network(&["ls"]).contains("red"), "the network itself was not asked to go");
}

#[test]
fn a_machine_that_restarts_starts_what_ran_for_the_first_time() {
    let Some(machine) = machine() else { return };
    machine.background("always", &["--restart", "always"], &["sleep", "1000"]);
    machine.background("once", &[], &["sleep", "1000"]);
    machine.background("rested", &["--restart", "unless-stopped"], &["sleep", "1000"]);
    machine.ok(&["stop", "-t", "0", "rested"]);
    machine.ok(&machine.arguments(
        "create",
        &["--restart", "always", "--name", "made"],
        &["sleep", "1000"],
        &machine.root(),
    ));
    // As the power goes: every process at once, and the folder of what runs is empty afterwards.
    for name in ["always", "once"] {
        for field in [".State.ConmonPid", ".State.Pid"] {
            kill(&machine.inspect(name, field));
        }
    }
    until("all of it is gone", || machine.processes().is_empty());
    for folder in ["containers", "runtime"] {
        fs::remove_dir_all(machine.run_folder().join(folder)).unwrap();
    }
    assert_eq!(machine.inspect("always", ".State.Status"), "exited", "it is known to have run");
    let report = machine.ok(&["boot"]);
    assert!(report.contains("started  always"), "{report}");
    assert!(report.contains("left     made never started"), "{report}");
    assert!(report.contains("left     rested stopped by a person"), "{report}");
    assert_eq!(machine.inspect("always", ".State.Status"), "running");
    assert_eq!(machine.inspect("once", ".State.ExitCode"), "255");
    assert!(machine.inspect("once", ".State.Error").contains("the machine stopped while it ran"));
    machine.ok(&["rm", "--all", "--force", "-t", "0"]);
    machine.is_empty();
}

#[test]
fn several_containers_are_stopped_in_the_time_of_one() {
    let Some(machine) = machine() else { return };
    // None of them ends before it is killed: each takes its two seconds.
    let names = ["a", "b", "c", "d", "e", "f"];
    let fill = |verb: &[&str]| {
        let before = Instant::now();
        machine.ok(&[verb, &names[..]].concat());
        assert!(before.elapsed() < Duration::from_secs(7), "{verb:?} took {:?}", before.elapsed());
    };
    for name in names {
        machine.background(name, &[], &["sleep", "1000"]);
    }
    fill(&["stop", "-t", "2"]);
    machine.ok(&[&["start"][..], &names].concat());
    fill(&["rm", "--force", "-t", "2"]);
    machine.is_empty();
}

#[test]
fn how_often_it_started_again_is_known_after_the_end() {
    let Some(machine) = machine() else { return };
    machine.background("crash", &["--restart", "on-failure:2"], &["sh", "-c", "exit 3"]);
    machine.ok(&["wait", "crash"]);
    machine.until("crash", ".State.Status", "exited");
    assert_eq!(machine.inspect("crash", ".RestartCount"), "2");
    assert_eq!(machine.inspect("crash", ".State.ExitCode"), "3");
}

#[test]
fn the_service_manager_is_told_by_whom_the_flag_says() {
    let Some(machine) = machine() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    let told = |who: &str| {
        let root = machine.root();
        let flags = ["--rm", "--sdnotify", who];
        let mut command = machine.command(&machine.arguments("run", &flags, &["true"], &root));
        let output = command.env("NOTIFY_SOCKET", &path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut buffer = [0; 256];
        manager.recv(&mut buffer).ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    let text = told("conmon").unwrap();
    assert!(text.contains("READY=1") && text.contains("MAINPID="), "{text}");
    assert_eq!(told("ignore"), None);
    let text = told("container").unwrap();
    assert!(text.contains("MAINPID=") && !text.contains("READY"), "its program says nothing: {text}");
}

#[test]
fn a_container_that_ran_out_of_memory_is_said_to_have() {
    let Some(machine) = machine() else { return };
    let hungry = "a=x; while true; do a=$a$a; done";
    let output = machine.foreground(&["--rm", "--name", "hungry", "-m", "8m"], &["sh", "-c", hungry]);
    assert_eq!(output.status.code(), Some(137), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("container hungry was killed because it ran out of memory"), "{said}");
    assert!(said.contains("8388608 bytes, and --memory gives it more"), "{said}");
}

#[test]
fn the_usage_says_what_is_to_be_typed() {
    let Some(machine) = machine() else { return };
    for verb in ["run", "create"] {
        let output = machine.run(&[verb, "--no-such-flag"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("berth-runner {verb} [OPTIONS] <IMAGE> [COMMAND]...")), "{said}");
        assert_eq!(output.status.code(), Some(125));
    }
}
