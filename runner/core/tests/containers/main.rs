//! Containers, made and entered for real. The tests run one after another on the only thread of this program, as the
//! runtime wants its callers to be; after each of them nothing may be left of what it made.
//!
//! The program is its own driver too: `driver VERB ...` does what a separate caller of the runtime does, for the tests
//! that kill it, run it as another user, or let a container execute it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bundle;
mod caller;
mod driver;
mod enter;
mod errors;
mod harness;
mod hooks;
mod interrupted;
mod lifecycle;
mod namespaces;
mod own_program;
mod settings;
mod terminals;
mod users;

use std::process::ExitCode;

fn main() -> ExitCode {
    berth_runtime::protect_own_program().unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "driver") {
        return driver::main(&arguments[1..]);
    }
    harness::run(
        &arguments,
        &[
            lifecycle::TESTS,
            settings::TESTS,
            namespaces::TESTS,
            hooks::TESTS,
            enter::TESTS,
            terminals::TESTS,
            errors::TESTS,
            users::TESTS,
            caller::TESTS,
            own_program::TESTS,
            interrupted::TESTS,
        ],
    )
}
