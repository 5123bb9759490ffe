//! Two folders of what runs for one store, and two stores for one.

use super::machine;

#[test]
fn containers_of_one_store_run_under_one_folder_and_nothing_of_theirs_is_taken_down() {
    let Some(machine) = machine() else { return };
    let id = machine.background("web", &[], &["sleep", "1000"]);
    let (store, run) = (machine.path("store"), machine.run_folder());
    let (elsewhere, other) = (machine.path("elsewhere"), machine.path("other"));
    for verb in [&["ps"][..], &["rm", "--all", "--force"], &["network", "reload"], &["stop", "--all"]] {
        let refused = machine.run(&[&["--runroot", elsewhere.to_str().unwrap()], verb].concat());
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{verb:?}: {told}");
        assert!(told.contains(&format!("say --runroot {}", run.display())), "{told}");
        let refused = machine.run(&[&["--root", other.to_str().unwrap()], verb].concat());
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{verb:?}: {told}");
        assert!(told.contains(&format!("is of {}", store.display())), "{told}");
    }
    // Who names none gets that under which they run, whatever is usual for a user at that moment.
    let mut command = machine.command(&["ps", "--quiet", "--no-trunc"]);
    let seen = command.env_remove("BERTH_RUNNER_RUNROOT").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&seen.stdout).trim(), id, "{seen:?}");
    assert_eq!(machine.inspect("web", ".State.Status"), "running");
    machine.ok(&["stop", "-t", "0", "web"]);

    // Nothing runs: either may be used with another one.
    let there = ["--runroot", elsewhere.to_str().unwrap()];
    machine.ok(&[&there[..], &["start", "web"]].concat());
    let refused = machine.run(&["ps"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains(elsewhere.to_str().unwrap()), "{refused:?}");
    machine.ok(&[&there[..], &["rm", "--force", "-t", "0", "web"]].concat());
    machine.ok(&["--root", other.to_str().unwrap(), "ps"]);
    machine.is_empty();
}
