//! Pulls that end before their end, and pulls beside each other.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    assert_empty, done,
    layout::{Layer, Layout, digest, tar},
    refused,
    server::{Mood, Server},
};
use crate::program::Runner;

/// Three layers, one with a large file.
fn layers() -> Vec<Layer> {
    let noise: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    vec![
        Layer::gzip(&tar(&[("large", &noise), ("a", b"a")])),
        Layer::gzip(&tar(&[("b", b"b")])),
        Layer::zstd(&tar(&[("c", &noise[..200_000])])),
    ]
}

fn begun(runner: &Runner, name: &str) -> Child {
    let mut command = runner.command(&["pull", "--tls-verify=false", name]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn f24_a_pull_that_is_interrupted_leaves_nothing() {
    let layers = &layers()[..1];
    let layout = Layout::of(layers);
    let runner = Runner::new();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let server = Server::new(&layout, layers, Mood::Stalling);
        let mut child = begun(&runner, &server.name());
        server.wait_for_half();
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_empty(&runner);
    }
}

#[test]
fn f24_a_pull_that_is_killed_leaves_no_image_and_the_next_one_succeeds() {
    let layers = layers();
    let layout = Layout::of(&layers);
    let runner = Runner::new();
    let stalling = Server::new(&layout, &layers, Mood::Stalling);
    let mut child = begun(&runner, &stalling.name());
    stalling.wait_for_half();
    send(&child, Signal::KILL);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(done(&runner, &["images", "-q"]), "");
    let check = runner.run(&["check"]);
    assert!(check.status.success(), "{check:?}");

    let server = Server::new(&layout, &layers, Mood::Plain);
    let id = done(&runner, &["pull", "-q", "--tls-verify=false", &server.name()]);
    assert_eq!(id, digest(&layout.config).hex());
    assert!(runner.run(&["check"]).status.success());
}

#[test]
fn u13_four_processes_pull_one_image_and_each_has_it() {
    let layers = layers();
    let layout = Layout::of(&layers);
    let server = Server::new(&layout, &layers, Mood::Plain);
    let runner = Runner::new();
    let children: Vec<Child> = (0..4).map(|_| begun(&runner, &server.name())).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(done(&runner, &["images", "--format", "{{.Digest}}"]), layout.digest().as_str());
    assert!(runner.run(&["check"]).status.success());
}

#[test]
fn a_layer_that_is_here_is_not_fetched() {
    let layers = layers();
    let runner = Runner::new();
    let first = Layout::of(&layers[..2]);
    let server = Server::new(&first, &layers, Mood::Plain);
    done(&runner, &["pull", "-q", "--tls-verify=false", &server.name()]);
    assert_eq!(server.layers(), 2);
    let all = Layout::of(&layers);
    let server = Server::new(&all, &layers, Mood::Plain);
    done(&runner, &["pull", "-q", "--tls-verify=false", &server.name()]);
    assert_eq!(server.layers(), 1, "only the third layer is new");
    done(&runner, &["pull", "-q", "--tls-verify=false", &server.name()]);
    assert_eq!(server.layers(), 1);
}

#[test]
fn a_registry_that_lets_nobody_in_is_an_end_with_3() {
    let layers = layers();
    let server = Server::new(&Layout::of(&layers), &layers, Mood::Closed);
    let runner = Runner::new();
    for arguments in [
        &["pull", "--tls-verify=false", &server.name()][..],
        &["pull", "--tls-verify=false", "--creds", "me:wrong", &server.name()],
    ] {
        refused(&runner, 3, arguments);
    }
    assert_empty(&runner);
}
