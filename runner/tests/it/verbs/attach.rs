//! `attach` without a terminal.

use std::io::Write;

use rustix::process::Signal;

use super::Going;
use crate::supervisor::{machine, until};

#[test]
fn input_goes_in_output_comes_out_and_the_end_is_the_program_s() {
    let Some(machine) = machine() else { return };
    let script = "while read line; do echo \"<$line>\"; echo \"e$line\" >&2; done; exit 7";
    machine.background("web", &["-i"], &["sh", "-c", script]);
    let mut attached = Going::start(&machine, &["attach", "web"]);
    let mut input = attached.child.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    assert_eq!(attached.line(), "<one>");
    // Another one beside it sees the same.
    let mut other = Going::start(&machine, &["attach", "--no-stdin", "web"]);
    other.child.stdin.take().unwrap().write_all(b"never\n").unwrap();
    until("both are attached", || {
        machine.ok(&["events", "--stream=false", "--filter", "event=attach"]).lines().count() == 2
    });
    input.write_all(b"two\n").unwrap();
    assert_eq!(attached.line(), "<two>");
    assert_eq!(other.line(), "<two>");
    drop(input);
    assert_eq!((attached.code(), other.code()), (Some(7), Some(7)));
    let mut errors = String::new();
    std::io::Read::read_to_string(&mut attached.child.stderr.take().unwrap(), &mut errors).unwrap();
    assert_eq!(errors, "eone\netwo\n");
    assert!(!machine.ok(&["logs", "web"]).contains("never"), "--no-stdin sends nothing");
    let refused = machine.run(&["attach", "web"]);
    assert_eq!(refused.status.code(), Some(125), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("only a running one"), "{refused:?}");
    machine.ok(&["rm", "web"]);
    machine.is_empty();
}

#[test]
fn signals_are_handed_on_unless_that_is_not_wanted() {
    let Some(machine) = machine() else { return };
    let script = "trap 'echo caught; exit 5' TERM; while true; do echo tick; busybox usleep 20000; done";
    machine.background("web", &[], &["sh", "-c", script]);
    // A switch without a value takes none of the words behind it.
    for flag in ["--sig-proxy=false", "--sig-proxy"] {
        let mut attached = Going::start(&machine, &["attach", flag, "web"]);
        attached.up_to("tick");
        attached.signal(Signal::TERM);
        if flag == "--sig-proxy" {
            attached.up_to("caught");
            assert_eq!(attached.code(), Some(5));
        } else {
            assert_eq!(attached.code(), None, "it ended by the signal itself");
            assert_eq!(machine.inspect("web", ".State.Status"), "running");
        }
    }
    machine.until("web", ".State.Status", "exited");
    machine.ok(&["rm", "web"]);
    machine.is_empty();
}
