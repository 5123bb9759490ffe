//! Pulls images and runs containers. The command line does the work and ends; what outlives it is one supervisor per
//! detached container: this program again, with one thread.
//!
//! | module | what it is |
//! |---|---|
//! | [`folders`] | where everything lies, for root and for users |
//! | [`record`] | containers as they are wanted, and what became of them |
//! | [`store`], [`unpack`] | layers, objects and images on disk |
//! | [`image`] | images: pull, push, save, load and what else is done to them |
//! | [`bundle`] | from a record and an image to a runtime specification |
//! | [`supervisor`] | a running container: output, health, restarts, its socket |
//! | [`network`] | bridges, addresses, published ports, names |
//! | [`transfer`] | files into containers and out of them |
//! | [`rootless`] | the user namespace of an ordinary user |
//! | [`volume`], [`secret`] | named volumes, and secrets |
//! | [`environment`], [`stop`] | what processes of ours keep of the caller's environment; signals that end a command |
//! | [`init`] | process 1 of containers with `--init` |
//! | [`oci`] | the command that podman and containerd call in place of runc |
//! | [`cli`] | the commands, one file each |
//!
//! Only commands that speak to a registry start tokio; the supervisor, `exec` and the start of an image that is here
//! do not.

mod bundle;
mod cli;
mod environment;
mod error;
mod folders;
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod init;
mod network;
mod oci;
mod pairing;
mod record;
mod rootless;
mod secret;
mod stop;
mod store;
mod supervisor;
mod transfer;
mod unpack;
mod volume;

use std::{ffi::OsStr, path::Path, process::ExitCode};

/// Runs the program: by the name that it was called by, it is the OCI command (`berth-oci`), the supervisor (its own
/// argument, never typed by a person) or the command line.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    let first = arguments.next();
    if Path::new(&called).file_name() == Some(OsStr::new("berth-oci"))
        || first.as_deref() == Some(OsStr::new("oci"))
    {
        return oci::main();
    }
    if first.as_deref() == Some(OsStr::new(init::ARGUMENT)) {
        return init::main();
    }
    if first.as_deref() == Some(OsStr::new(supervisor::ARGUMENT)) {
        return supervisor::main();
    }
    if first.as_deref() == Some(OsStr::new(network::names::ARGUMENT)) {
        return network::names::main(arguments);
    }
    if first.as_deref() == Some(OsStr::new(transfer::ARGUMENT)) {
        return transfer::inside::main(arguments);
    }
    if first.as_deref() == Some(OsStr::new(network::unused::ARGUMENT)) {
        return network::unused::main(arguments);
    }
    if first.as_deref() == Some(OsStr::new(network::alone::ARGUMENT)) {
        return network::alone::main(arguments);
    }
    cli::main()
}
