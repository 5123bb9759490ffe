//! `update`.

use crate::supervisor::{Machine, machine, until};

/// Memory, processes and processors, as the container sees them in either version of control groups.
const SEEN: &str = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null; \
     cat pids/pids.max pids.max 2>/dev/null; cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null; true";

#[test]
fn other_limits_hold_at_once_for_later_starts_and_in_inspect() {
    let Some(machine) = machine() else { return };
    machine.background("web", &["-m", "64m"], &["sleep", "1000"]);
    let seen = || {
        let text = machine.ok(&["exec", "web", "sh", "-c", SEEN]);
        let numbers: Vec<&str> = text.split_whitespace().collect();
        (numbers[0].to_owned(), numbers[1].to_owned(), numbers[2].to_owned())
    };
    assert_eq!(seen().0, "67108864");
    let id = machine.inspect("web", ".Id");
    // More than memory and swap together were before.
    let changed = machine.ok(&["update", "--memory", "256m", "--cpus", "0.5", "--pids-limit", "77", "web"]);
    assert_eq!(changed, id);
    let wanted = ("268435456".to_owned(), "77".to_owned(), "50000".to_owned());
    assert_eq!(seen(), wanted);
    let host = |field: &str| machine.inspect("web", &format!(".HostConfig.{field}"));
    assert_eq!((host("Memory"), host("PidsLimit")), ("268435456".into(), "77".into()));
    assert_eq!(host("NanoCpus"), "500000000");
    machine.ok(&["restart", "-t", "0", "web"]);
    assert_eq!(seen(), wanted, "after a new start");

    // What is refused changes nothing, neither now nor later.
    let refused = machine.run(&["update", "--memory", "64m", "--memory-swap", "32m", "web"]);
    assert!(!refused.status.success(), "{refused:?}");
    assert_eq!((seen(), host("Memory")), (wanted, "268435456".into()));
    assert_eq!(machine.run(&["update", "--cpus", "0", "web"]).status.code(), Some(2));

    machine.ok(&["stop", "-t", "0", "web"]);
    machine.ok(&["update", "--pids-limit", "99", "web"]);
    machine.ok(&["start", "web"]);
    assert_eq!(seen().1, "99", "changed while it did not run");
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    machine.is_empty();
}

#[test]
fn another_policy_holds_for_the_run_that_goes_on() {
    let Some(machine) = machine() else { return };
    let script = "while ! [ -e /tmp/go ]; do busybox usleep 10000; done; exit 3";
    machine.background("web", &[], &["sh", "-c", script]);
    machine.ok(&["update", "--restart", "on-failure:2", "web"]);
    assert_eq!(machine.inspect("web", ".HostConfig.RestartPolicy.Name"), "on-failure");
    machine.ok(&["exec", "web", "touch", "/tmp/go"]);
    machine.until("web", ".State.Status", "exited");
    assert_eq!(machine.inspect("web", ".RestartCount"), "2");
    assert_eq!(machine.run(&["update", "--restart", "sometimes", "web"]).status.code(), Some(2));
    machine.ok(&["rm", "web"]);
    machine.is_empty();
}

#[test]
fn who_may_have_no_more_processes_hears_of_the_limit_and_how_to_raise_it() {
    let Some(machine) = machine() else { return };
    machine.background("web", &["--pids-limit", "2"], &["sh", "-c", "sleep 1000 & sleep 1000"]);
    until("both run", || machine.inspect("web", ".State.Status") == "running" && full(&machine));
    let refused = machine.run(&["exec", "web", "true"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(125), "{told}");
    assert!(told.contains("and 2 is its limit") && told.contains("update --pids-limit"), "{told}");
    machine.ok(&["update", "--pids-limit", "5", "web"]);
    machine.ok(&["exec", "web", "true"]);
    machine.ok(&["rm", "--force", "-t", "0", "web"]);
    machine.is_empty();
}

fn full(machine: &Machine) -> bool {
    machine.ok(&["stats", "--no-stream", "--format", "{{.PIDs}}", "web"]) == "2"
}
