//! Devices of the machine in a container.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use super::limits::rule;
use crate::{
    error::{Result, RunnerError, While},
    record::{Desired, Device},
};

/// Made by the runtime in every container, or a filesystem of its own there.
const OWN: [&str; 15] = [
    "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
    "stdout", "tty", "urandom",
];

/// A node of the machine; what is no device is `None`.
fn node(source: &Path, destination: PathBuf) -> Result<Option<LinuxDevice>> {
    let about = fs::metadata(source).doing("asking", source)?;
    let kind = if about.file_type().is_char_device() {
        LinuxDeviceType::C
    } else if about.file_type().is_block_device() {
        LinuxDeviceType::B
    } else {
        return Ok(None);
    };
    let number = about.rdev();
    let mut device = LinuxDevice::default();
    device.set_path(destination).set_typ(kind);
    device.set_major(rustix::fs::major(number).into()).set_minor(rustix::fs::minor(number).into());
    device.set_file_mode(Some(about.mode() & 0o7777)).set_uid(Some(about.uid())).set_gid(Some(about.gid()));
    Ok(Some(device))
}

/// All nodes below a folder; links are not followed, or `/dev/fd` would lead astray.
fn below(folder: &Path, destination: &Path, found: &mut Vec<LinuxDevice>) -> Result<()> {
    for entry in fs::read_dir(folder).doing("reading", folder)? {
        let entry = entry.doing("reading", folder)?;
        let kind = entry.file_type().doing("asking", entry.path())?;
        let destination = destination.join(entry.file_name());
        if kind.is_dir() {
            below(&entry.path(), &destination, found)?;
        } else if !kind.is_symlink() {
            found.extend(node(&entry.path(), destination)?);
        }
    }
    Ok(())
}

fn asked(device: &Device, nodes: &mut Vec<LinuxDevice>, rules: &mut Vec<LinuxDeviceCgroup>) -> Result<()> {
    let mut own = Vec::new();
    if device.source.is_dir() {
        below(&device.source, &device.destination, &mut own)?;
    } else {
        own.extend(node(&device.source, device.destination.clone())?);
    }
    if own.is_empty() {
        return Err(RunnerError::Usage(format!("--device: {} is no device", device.source.display())));
    }
    let numbers = |node: &LinuxDevice| (Some(node.major()), Some(node.minor()));
    rules.extend(own.iter().map(|node| {
        let (major, minor) = numbers(node);
        rule(true, node.typ(), major, minor, &device.access)
    }));
    nodes.append(&mut own);
    Ok(())
}

/// Devices that have another place in the container than on the machine. In a user namespace no node can be made; the
/// runtime binds what is at the same place, and these are for us to bind.
pub(super) fn moved(desired: &Desired) -> impl Iterator<Item = &Device> {
    desired.devices.iter().filter(|device| device.source != device.destination && !device.source.is_dir())
}

/// Nodes to be made (`made`: also those that are moved), and rules that let them be opened.
pub(super) fn of(desired: &Desired, made: bool) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>)> {
    let (mut nodes, mut rules) = (Vec::new(), Vec::new());
    if desired.security.privileged {
        for entry in fs::read_dir("/dev").doing("reading", "/dev")? {
            let entry = entry.doing("reading", "/dev")?;
            let name = entry.file_name();
            let kind = entry.file_type().doing("asking", entry.path())?;
            // Its own terminals are not the machine's consoles, over which an init of the container would fight.
            let terminal =
                name.to_str().is_some_and(|name| name.starts_with("tty") || name.starts_with("vcs"));
            if OWN.iter().any(|own| *own == name) || kind.is_symlink() || desired.process.systemd && terminal
            {
                continue;
            }
            let destination = Path::new("/dev").join(&name);
            if kind.is_dir() {
                below(&entry.path(), &destination, &mut nodes)?;
            } else {
                nodes.extend(node(&entry.path(), destination)?);
            }
        }
    }
    for device in &desired.devices {
        asked(device, &mut nodes, &mut rules)?;
    }
    // A later one at the same place is the one that was asked for.
    let mut seen = std::collections::HashSet::new();
    nodes.reverse();
    nodes.retain(|node| seen.insert(node.path().clone()));
    nodes.reverse();
    if !made {
        let bound: Vec<&PathBuf> = moved(desired).map(|device| &device.destination).collect();
        nodes.retain(|node| !bound.contains(&node.path()));
    }
    Ok((nodes, rules))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::desired;

    fn device(source: &str, destination: &str) -> Device {
        Device { source: source.into(), destination: destination.into(), access: "r".into() }
    }

    #[test]
    fn a_device_is_made_and_may_be_opened_as_asked() {
        let mut container = desired("web", 1);
        container.devices = vec![device("/dev/null", "/dev/nothing")];
        let (nodes, rules) = of(&container, false).unwrap();
        assert_eq!((nodes.len(), rules.len()), (0, 1), "it is bound, and may be opened");
        let (nodes, rules) = of(&container, true).unwrap();
        assert_eq!((nodes.len(), nodes[0].major(), nodes[0].minor()), (1, 1, 3));
        assert_eq!(nodes[0].path(), Path::new("/dev/nothing"));
        assert_eq!(rules.len(), 1);
        assert_eq!((rules[0].allow(), rules[0].access().as_deref()), (true, Some("r")));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let mut container = desired("web", 1);
        container.devices = vec![device("/etc/passwd", "/dev/x")];
        assert!(matches!(of(&container, true), Err(RunnerError::Usage(_))));
    }

    #[test]
    fn a_privileged_container_has_the_machines_nodes_but_not_its_own_twice() {
        let mut container = desired("web", 1);
        container.security.privileged = true;
        let (nodes, _) = of(&container, true).unwrap();
        assert!(nodes.iter().all(|node| OWN.iter().all(|own| node.path() != &Path::new("/dev").join(own))));
    }
}
