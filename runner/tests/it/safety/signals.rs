//! Signals that come before there is a container to hand them on to, or while one is looked at.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process},
};

use super::{import, ok, on_a_bridge};
use crate::{
    net::machine::Machine as Network,
    supervisor::{Machine, machine, until},
};

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Whether a process waits for somebody's lock.
fn waits_for_a_lock(pid: u32) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    locks
        .lines()
        .any(|line| line.contains("->") && line.split_whitespace().any(|word| word == pid.to_string()))
}

/// Number with which it ended, as a shell tells it.
fn number(child: &mut Child) -> i32 {
    let status = child.wait().unwrap();
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

#[test]
fn a_run_in_the_foreground_ends_by_a_signal_before_its_container_began_and_leaves_nothing() {
    let Some(machine) = machine() else { return };
    let (network, root) = (Network::new(), machine.root());
    let started = ok(&network, &on_a_bridge("other", &root, &["-d"], &["sleep", "1000"]));
    assert_eq!(started.len(), 64);
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        // Whoever has the networks: its turn is not over for long.
        let held = fs::File::open(network.run_folder().join("network/lock")).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        for flags in [&[][..], &["--rm"]] {
            let mut command = network.command(&on_a_bridge("web", &root, flags, &["sleep", "1000"]));
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            until("it waits", || waits_for_a_lock(child.id()));
            send(&child, signal);
            assert_eq!(number(&mut child), code);
        }
        drop(held);
        assert_eq!(ok(&network, &["ps", "--all", "--format", "{{.Names}}"]), "other");
        let running = fs::read_dir(network.run_folder().join("containers")).unwrap();
        assert_eq!(running.count(), 1, "something is left of the others");
    }
    ok(&network, &["rm", "--force", "--time", "0", "--all"]);
}

/// A container `c` with a file that takes long to read, which `begin` makes.
fn large(machine: &Machine) {
    import(machine);
    let fill = "head -c 200000000 /dev/urandom > /large; exec sleep 1000";
    machine.ok(&["run", "-d", "--name", "c", "--network", "none", "test:latest", "sh", "-c", fill]);
    let file = machine.path("store/containers").join(machine.inspect("c", ".Id")).join("upper/large");
    until("it has its file", || fs::metadata(&file).is_ok_and(|about| about.len() == 200_000_000));
}

#[test]
fn a_commit_that_is_interrupted_thaws_its_container_and_leaves_no_layer() {
    let Some(machine) = machine() else { return };
    large(&machine);
    let layers = || fs::read_dir(machine.path("store/layers")).unwrap().count();
    let before = layers();
    let mut child = machine.command(&["commit", "c", "half"]).stderr(Stdio::piped()).spawn().unwrap();
    until("it is frozen", || machine.inspect("c", ".State.Status") == "paused");
    send(&child, Signal::TERM);
    assert_eq!(number(&mut child), 143);
    assert_eq!(machine.inspect("c", ".State.Status"), "running");
    assert_eq!(layers(), before);
    assert!(!machine.ok(&["images", "--format", "{{.Repository}}"]).contains("half"));
}

#[test]
fn an_export_or_a_copy_that_is_interrupted_leaves_no_half_of_a_file() {
    let Some(machine) = machine() else { return };
    large(&machine);
    let folder = machine.path("out");
    fs::create_dir(&folder).unwrap();
    let out = folder.join("file");
    // With a name or, where the file system can do that, without one: then only who writes it has it.
    let written = |child: &Child| {
        let open = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
        let here = open.filter(|file| fs::read_link(file.path()).is_ok_and(|to| to.starts_with(&folder)));
        here.map(|file| fs::metadata(file.path()).map_or(0, |about| about.len())).sum::<u64>()
    };
    for arguments in
        [&["export", "-o", out.to_str().unwrap(), "c"][..], &["cp", "c:/large", out.to_str().unwrap()]]
    {
        let mut child = machine.command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        until("it writes", || written(&child) > 1 << 20);
        send(&child, Signal::INT);
        assert_eq!(number(&mut child), 130, "{arguments:?}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{arguments:?}");
    }
    // Into the container, where another process writes: it ends with the command, however that ends.
    let source = machine.path("source");
    let mut make = Command::new("head");
    let made = make.args(["-c", "200000000", "/dev/urandom"]).stdout(fs::File::create(&source).unwrap());
    assert!(made.status().unwrap().success());
    for signal in [Signal::TERM, Signal::KILL] {
        let arguments = ["cp", source.to_str().unwrap(), "c:/srv-file"];
        let mut child = machine.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
        let upper = machine.path("store/containers").join(machine.inspect("c", ".Id")).join("upper/srv-file");
        until("it writes", || fs::metadata(&upper).is_ok_and(|about| about.len() > 1 << 20));
        send(&child, signal);
        assert_eq!(number(&mut child), 128 + signal.as_raw());
        until("half of a file is none", || !upper.exists());
    }
}
