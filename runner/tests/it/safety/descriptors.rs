//! What is open in whoever starts a container, and what lies where others can put it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use crate::{
    bundle_user::{Home, SubordinateIds, USER},
    supervisor::machine,
};

#[test]
fn a_callers_files_and_terminals_do_not_reach_the_container_as_descriptors() {
    let Some(machine) = machine() else { return };
    let root = machine.root();
    let out = machine.path("out");
    let secret = machine.path("secret");
    fs::write(&secret, "secret").unwrap();
    let look = "for one in /proc/self/fd/*; do readlink $one; done; true";
    for flags in [&["--rm", "--log-driver", "none", "-i"][..], &["--rm", "-i"]] {
        let arguments = machine.arguments("run", flags, &["sh", "-c", look], &root);
        let program = machine.command(&arguments);
        // Standard streams are files, and something else is open besides.
        let mut shell = Command::new("sh");
        shell.arg("-c").arg("exec \"$0\" \"$@\" 7< \"$SECRET\" < \"$SECRET\" > \"$OUT\" 2>&1");
        shell.arg(program.get_program()).args(program.get_args());
        shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let done = shell.env("SECRET", &secret).env("OUT", &out).status().unwrap();
        let seen = fs::read_to_string(&out).unwrap();
        assert!(done.success(), "{seen}");
        assert!(seen.contains("pipe:") || seen.contains("/stdout\n"), "{seen}");
        assert!(!seen.contains("secret") && !seen.contains("/out"), "{flags:?}: {seen}");
    }
    // `exec` too.
    machine.background("c", &[], &["sleep", "1000"]);
    let program = machine.command(&["exec", "-i", "c", "sh", "-c", look]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("exec \"$0\" \"$@\" 7< \"$SECRET\" < \"$SECRET\" > \"$OUT\" 2>&1");
    shell.arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(shell.env("SECRET", &secret).env("OUT", &out).status().unwrap().success());
    let seen = fs::read_to_string(&out).unwrap();
    assert!(!seen.contains("secret") && !seen.contains("/out"), "exec: {seen}");
}

#[test]
fn a_run_folder_that_another_user_planted_is_refused() {
    let Some(home) = Home::with(|_| ()) else { return };
    let _ids = SubordinateIds::new();
    home.import();
    let planted = home.path("planted");
    fs::create_dir(&planted).unwrap();
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o777)).unwrap();
    let folder = planted.to_str().unwrap();
    let run = ["--runroot", folder, "run", "--rm", "--network", "none", "test:latest", "true"];
    let refused = home.run(&run);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(125), "{said}");
    assert!(said.contains("belongs to user 0") && said.contains("--runroot"), "{said}");
    assert_eq!(fs::read_dir(&planted).unwrap().count(), 0, "something was put there");
    // Of one's own, but open to all.
    std::os::unix::fs::chown(&planted, Some(USER.1), Some(USER.2)).unwrap();
    let refused = home.run(&run);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("everybody may write into it"));
}

/// All files of a name below a folder.
fn named(folder: &Path, name: &str, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            named(&entry.path(), name, found);
        } else if entry.file_name() == name && about.is_file() {
            found.push(entry.path());
        }
    }
}

#[test]
fn nobody_but_its_owner_opens_a_lock() {
    let Some(machine) = machine() else { return };
    super::import(&machine);
    let command =
        machine.command(&["run", "-d", "--name", "c", "--network", "none", "test:latest", "sleep", "1000"]);
    // Whatever the caller's mask lets through.
    let shell = "umask 0; exec \"$0\" \"$@\"";
    let mut with_mask = Command::new("sh");
    with_mask.arg("-c").arg(shell).arg(command.get_program()).args(command.get_args());
    with_mask.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(with_mask.output().unwrap().status.success());
    let mut locks = Vec::new();
    named(&machine.path("store"), "lock", &mut locks);
    named(&machine.run_folder(), "lock", &mut locks);
    // Of the store, of all containers, of the one, of its supervisor.
    assert!(locks.len() >= 4, "{locks:?}");
    for lock in locks {
        let mode = fs::metadata(&lock).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{} has mode {mode:o}", lock.display());
    }
}
