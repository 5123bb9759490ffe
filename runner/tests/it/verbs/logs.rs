//! `logs` over files that are turned over.

use super::Going;
use crate::supervisor::{Machine, machine, until};

/// Lines as long as this make a file of 64 KiB hold a thousand.
const LONG: &str = "............................";

/// A container that writes 1500 numbered lines, and as many again once it may.
fn talker(machine: &Machine) {
    let script = format!(
        "write() {{ i=$1; while [ $i -lt $2 ]; do echo {LONG} $i; i=$((i+1)); done; }}; \
         write 0 1500; while ! [ -e /tmp/go ]; do busybox usleep 10000; done; write 1500 3000"
    );
    machine.background(
        "talk",
        &["--log-opt", "max-size=64k", "--log-opt", "max-file=10"],
        &["sh", "-c", &script],
    );
    until("it wrote the first half", || machine.ok(&["logs", "--tail", "1", "talk"]).ends_with(" 1499"));
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn the_last_lines_and_those_since_a_time_come_from_as_many_files_as_it_takes() {
    let Some(machine) = machine() else { return };
    talker(&machine);
    machine.ok(&["exec", "talk", "touch", "/tmp/go"]);
    machine.ok(&["wait", "talk"]);
    let folder = machine.inspect("talk", ".LogPath");
    let folder = std::path::Path::new(&folder).parent().unwrap().to_owned();
    assert!(std::fs::read_dir(folder).unwrap().count() >= 3, "it was turned over twice at least");
    let all = numbers(&machine.ok(&["logs", "talk"]));
    assert_eq!(all, (0..3000).collect::<Vec<_>>());
    assert_eq!(numbers(&machine.ok(&["logs", "--tail", "2500", "talk"])), (500..3000).collect::<Vec<_>>());
    assert_eq!(machine.ok(&["logs", "--tail", "0", "talk"]), "");
    let stamped = machine.ok(&["logs", "--timestamps", "talk"]);
    let time = |line: usize| stamped.lines().nth(line).unwrap().split(' ').next().unwrap().to_owned();
    // Between the two halves somebody looked, so their times differ.
    let since = machine.ok(&["logs", "--since", &time(1500), "talk"]);
    assert_eq!(numbers(&since), (1500..3000).collect::<Vec<_>>());
    let until = machine.ok(&["logs", "--until", &time(1499), "talk"]);
    assert_eq!(numbers(&until), (0..1500).collect::<Vec<_>>());
    let last = machine.ok(&["logs", "--until", &time(1499), "--tail", "1200", "talk"]);
    assert_eq!(numbers(&last), (300..1500).collect::<Vec<_>>(), "the last of those that are meant");
    assert_eq!(machine.ok(&["logs", "--since", &time(1500), "--until", &time(1499), "talk"]), "");
    machine.ok(&["rm", "talk"]);
    machine.is_empty();
}

#[test]
fn who_follows_from_the_last_lines_on_misses_none_while_files_are_turned_over() {
    let Some(machine) = machine() else { return };
    talker(&machine);
    let mut following = Going::start(&machine, &["logs", "--follow", "--tail", "10", "talk"]);
    let first = following.up_to(" 1499");
    assert_eq!(numbers(&first.join("\n")), (1490..1500).collect::<Vec<_>>());
    let nothing_before =
        Going::start(&machine, &["logs", "--follow", "--tail", "0", "--since", "1h", "talk"]);
    machine.ok(&["exec", "talk", "touch", "/tmp/go"]);
    let rest = following.up_to(" 2999");
    assert_eq!(numbers(&rest.join("\n")), (1500..3000).collect::<Vec<_>>());
    assert_eq!(following.line(), "", "it ends with the container");
    assert_eq!(following.code(), Some(0));
    let mut nothing_before = nothing_before;
    let lines = nothing_before.up_to(" 2999");
    assert!(numbers(&lines[0])[0] >= 1500, "{}", lines[0]);
    machine.ok(&["rm", "talk"]);
    machine.is_empty();
}

#[test]
fn several_are_followed_at_once_and_each_line_says_whose_it_is() {
    let Some(machine) = machine() else { return };
    let go = |name: &str| format!("/tmp/go-{name}");
    for name in ["one", "two"] {
        let wait = format!("while ! [ -e {} ]; do busybox usleep 10000; done", go(name));
        machine.background(name, &[], &["sh", "-c", &format!("echo first; {wait}; echo last")]);
    }
    machine.background("over", &[], &["echo", "gone"]);
    machine.until("over", ".State.Status", "exited");
    until("both began", || ["one", "two"].iter().all(|name| machine.ok(&["logs", name]) == "first"));
    let mut following = Going::start(&machine, &["logs", "--follow", "--names", "one", "two", "over"]);
    let mut begun = [following.line(), following.line(), following.line()];
    begun.sort();
    assert_eq!(begun, ["one first", "over gone", "two first"]);
    // In another order than they were named in: who follows waits for all at once.
    for name in ["two", "one"] {
        machine.ok(&["exec", name, "touch", &go(name)]);
        assert_eq!(following.line(), format!("{name} last"));
        machine.ok(&["wait", name]);
    }
    assert_eq!((following.line(), following.code()), (String::new(), Some(0)), "it ends with the last one");
    let id = |name: &str| machine.inspect(name, ".Id")[..12].to_owned();
    let wanted = format!("{0} first\n{0} last\n{1} gone", id("one"), id("over"));
    assert_eq!(machine.ok(&["logs", "one", "over"]), wanted);
    machine.ok(&["rm", "one", "two", "over"]);
    machine.is_empty();
}
