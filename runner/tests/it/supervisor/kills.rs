//! F24: whatever is killed, and whenever, `rm --force` leaves nothing.

use std::{process::Stdio, time::Duration};

use super::{kill, machine, until};

#[test]
fn f24_a_container_lives_on_without_its_supervisor_and_gets_another() {
    let Some(machine) = machine() else { return };
    let program = ["sh", "-c", "i=0; while true; do i=$((i+1)); echo line $i; busybox usleep 1000; done"];
    machine.background("web", &[], &program);
    until("it wrote", || !machine.ok(&["logs", "web"]).is_empty());
    let (pid, supervisor) =
        (machine.inspect("web", ".State.Pid"), machine.inspect("web", ".State.ConmonPid"));
    kill(&supervisor);
    until("it is gone", || machine.inspect("web", ".State.ConmonPid") == "0");
    assert_eq!(machine.inspect("web", ".State.Status"), "running");
    assert_eq!(machine.inspect("web", ".State.Pid"), pid);
    assert!(machine.ok(&["boot"]).contains("adopted  web"));
    assert_ne!(machine.inspect("web", ".State.ConmonPid"), "0");
    let before = machine.ok(&["logs", "web"]).lines().count();
    until("its output is written again", || machine.ok(&["logs", "web"]).lines().count() > before + 100);
    let numbers: Vec<u32> = machine
        .ok(&["logs", "web"])
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "no line is lost");
    assert_eq!(machine.ok(&["stop", "-t", "0", "web"]), "web");
    let code = machine.ok(&["wait", "web"]);
    assert!(code == "137" || code == "255", "{code}");
    machine.ok(&["rm", "web"]);
    machine.is_empty();
}

#[test]
fn f24_kills_at_any_moment_leave_nothing_after_a_forced_removal() {
    let Some(machine) = machine() else { return };
    let root = machine.root();
    let rounds: u64 =
        std::env::var("BERTH_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    for round in 0..rounds {
        // Spread over what a start, a stop and a removal take.
        let delay = Duration::from_micros(round.wrapping_mul(7919) % 60_000);
        let spawn = |arguments: &[&str]| {
            machine.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let after = |mut child: std::process::Child| {
            std::thread::sleep(delay);
            let _ended_already = child.kill();
            child.wait().unwrap();
        };
        let name = format!("c{round}");
        match round % 4 {
            0 => after(spawn(&machine.arguments("run", &["--name", &name], &["sleep", "1000"], &root))),
            1 => after(spawn(&machine.arguments(
                "run",
                &["--rm", "-d", "--name", &name],
                &["sleep", "1000"],
                &root,
            ))),
            kind => {
                machine.background(&name, &[], &["sleep", "1000"]);
                let supervisor = machine.inspect(&name, ".State.ConmonPid");
                let verb = if kind == 2 { "stop" } else { "rm" };
                let force =
                    if kind == 2 { vec![verb, "-t", "0", &name] } else { vec![verb, "-f", "-t", "0", &name] };
                let child = spawn(&force);
                if round % 8 < 4 {
                    after(child);
                } else {
                    std::thread::sleep(delay / 4);
                    if let Some(pid) = supervisor.parse().ok().and_then(rustix::process::Pid::from_raw) {
                        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                    after(child);
                }
            }
        }
        machine.ok(&["rm", "--all", "--force", "-t", "0"]);
        until("nobody of it is left", || machine.processes().is_empty());
        machine.is_empty();
    }
}
