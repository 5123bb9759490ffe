//! What processes of ours keep of the environment of whoever typed. What outlives the command would show the caller's
//! secrets in `/proc` for as long as it lives, and variables like `LD_PRELOAD` would reach other programs with it.

use std::{env, process::Command};

use crate::supervisor::outside;

/// Where programs and the user's services are.
const MACHINE: [&str; 4] = ["PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];
/// What a service manager says to the program that it starts, and what is said to this program alone.
const OWN: [&str; 8] = [
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "BERTH_RUNNER_ROOT",
    "BERTH_RUNNER_RUNROOT",
    outside::OVERRIDE,
];

fn keep(command: &mut Command, names: &[&str]) {
    command.env_clear();
    command.envs(names.iter().filter_map(|name| env::var_os(name).map(|value| (name, value))));
}

/// For another program: where programs are, and the user's services.
pub(crate) fn of_another(command: &mut Command) {
    keep(command, &MACHINE);
}

/// For this program in another role.
pub(crate) fn of_ours(command: &mut Command) {
    keep(command, &[&MACHINE[..], &OWN].concat());
}
