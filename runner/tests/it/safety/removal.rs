//! Removals that were cut short.

use std::fs;

use crate::supervisor::{Machine, machine};

/// What a removal leaves that is killed after its renames.
fn leave(machine: &Machine, name: &str) -> [std::path::PathBuf; 3] {
    let id = "ab".repeat(32);
    let run = machine.run_folder().join("containers");
    let places = [machine.path("store/containers"), run, machine.path("store/volumes")];
    places.map(|place| {
        let path = place.join(format!(".gone-{id}-{name}"));
        fs::create_dir_all(path.join("upper/deep")).unwrap();
        fs::write(path.join("upper/deep/file"), "left").unwrap();
        path
    })
}

#[test]
fn what_a_removal_left_that_was_cut_short_is_told_and_swept() {
    let Some(machine) = machine() else { return };
    machine.ok(&machine.arguments("create", &["--name", "kept"], &["true"], &machine.root()));
    for sweep in
        [&["check", "--repair"][..], &["container", "prune", "--force", "--filter", "label=none"], &["boot"]]
    {
        let left = leave(&machine, sweep[0]);
        let unmade = machine.path("store/containers/.new-half");
        fs::create_dir(&unmade).unwrap();
        let told = machine.ok(&["check"]);
        for path in left.iter().chain([&unmade]) {
            assert!(told.contains(&format!("unused: {}", path.display())), "{told}");
        }
        machine.ok(sweep);
        for path in left.iter().chain([&unmade]) {
            assert!(!path.exists(), "{sweep:?} left {}", path.display());
        }
        assert!(machine.ok(&["check"]).ends_with("0 unused"));
    }
    assert_eq!(machine.ok(&["ps", "--all", "--format", "{{.Names}}"]), "kept");
}
