//! `berth-runner`: pulls images and runs containers, without a daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    berth_runner::main()
}
