//! Berth under the harness: starts, dies, starts again.

use std::time::Duration;

use berth_conformance::harness::{Berth, Signal, Stack, get_status, require};

#[test]
fn berth_is_killed_and_starts_again_on_the_same_port_and_data() {
    let mut berth = Berth::builder().start().unwrap();
    let (port, first) = (berth.port(), berth.pid().unwrap());
    assert_eq!(get_status(port, "/v2/").unwrap(), 200);
    berth.kill().unwrap();
    assert!(get_status(port, "/v2/").is_err());
    berth.start().unwrap();
    assert_ne!(berth.pid().unwrap(), first);
    assert_eq!(get_status(port, "/v2/").unwrap(), 200);
    assert!(berth.stats().unwrap().memory().unwrap() > 0);
}

#[test]
fn berth_ends_with_status_0_when_asked_to() {
    let mut berth = Berth::builder().start().unwrap();
    berth.signal(Signal::TERM);
    assert!(berth.wait(Duration::from_secs(40)).unwrap().success());
}

#[test]
fn berth_is_ready_on_postgresql_and_s3() {
    if !require(super::OUTSIDE_TOOLS) {
        return;
    }
    let berth = Berth::builder().stack(Stack::outside().unwrap()).start().unwrap();
    assert_eq!(get_status(berth.port(), "/v2/").unwrap(), 200);
}

#[test]
fn a_signal_reaches_the_server_behind_its_wrapper() {
    if !require(&["strace", "prlimit"]) {
        return;
    }
    let wrapper = ["prlimit", "--nofile=256", "strace", "-f", "-qq", "-e", "trace=none"];
    let mut berth = Berth::builder().wrapper(wrapper).start().unwrap();
    let pid = berth.pid().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert!(files.contains("256"), "{files}");
    berth.kill().unwrap();
    assert!(get_status(berth.port(), "/livez").is_err());
}
