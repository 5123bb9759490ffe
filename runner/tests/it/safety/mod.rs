//! What a container, an image or a signal cannot do to the machine.

mod descriptors;
mod environment;
mod holes;
mod own_files;
mod races;
mod removal;
mod signals;

use std::process::{Command, Output};

use crate::{net::machine::Machine as Network, supervisor::Machine};

/// A container on a bridge, with the machine's own ids and no more limits than a machine of a test has.
fn on_a_bridge<'a>(name: &'a str, root: &'a str, flags: &[&'a str], program: &[&'a str]) -> Vec<&'a str> {
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
    [&["run", "--name", name][..], &limits, flags, &["--userns", "host", "--rootfs", root], program].concat()
}

fn ok(network: &Network, arguments: &[&str]) -> String {
    said(arguments, network.runner(arguments))
}

fn said(arguments: &[&str], output: Output) -> String {
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An image of the root that containers here have, as `localhost/test`.
fn import(machine: &Machine) {
    let tar = machine.path("image.tar");
    let made =
        Command::new("tar").arg("-C").arg(machine.root()).arg("-cf").arg(&tar).arg(".").status().unwrap();
    assert!(made.success());
    machine.ok(&["import", tar.to_str().unwrap(), "test:latest"]);
}
