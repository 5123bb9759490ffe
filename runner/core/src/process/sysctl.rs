//! Kernel parameters of the container's namespaces.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, openat2},
    io::write,
};

use crate::{During, RuntimeError};

/// Writes them in the container's own `/proc`, which has to be a real one: an image cannot put a file there in its
/// place, and no link is followed.
pub(super) fn set(parameters: &HashMap<String, String>) -> Result<(), RuntimeError> {
    // In an order that does not change from start to start.
    for (name, value) in parameters.iter().collect::<BTreeMap<_, _>>() {
        let step = || format!("setting the kernel parameter {name} to {value:?}");
        let file = open(name).during(step)?;
        let written = write(&file, value.as_bytes()).during(step)?;
        if written != value.len() {
            return Err(io::Error::from(io::ErrorKind::WriteZero)).during(step);
        }
    }
    Ok(())
}

fn open(name: &str) -> io::Result<OwnedFd> {
    let path = format!("/proc/sys/{}", path_of(name));
    let file = openat2(
        CWD,
        path.as_str(),
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    if fstatfs(file.as_fd())?.f_type != PROC_SUPER_MAGIC {
        return Err(io::Error::other("the container's /proc is not the kernel's: mount proc there"));
    }
    Ok(file)
}

/// `net.ipv4.ip_forward`, or with slashes, where names of interfaces may hold dots.
fn path_of(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { name.replace('.', "/") }
}

/// Why a parameter may not be set for a container: it is not one of its namespaces', and would be the machine's.
pub(crate) fn fault(
    name: &str,
    has: impl Fn(oci_spec::runtime::LinuxNamespaceType) -> bool,
) -> Option<&'static str> {
    use oci_spec::runtime::LinuxNamespaceType as Kind;
    const IPC: [&str; 10] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.msg_next_id",
        "kernel.shm_next_id",
    ];
    let dotted = name.replace('/', ".");
    if dotted.split('.').any(|part| part.is_empty()) {
        return Some("is no name of a kernel parameter");
    }
    if IPC.contains(&dotted.as_str()) || dotted == "kernel.sem_next_id" || dotted.starts_with("fs.mqueue.") {
        return (!has(Kind::Ipc)).then_some("needs an ipc namespace of the container's own");
    }
    if dotted.starts_with("net.") {
        return (!has(Kind::Network)).then_some("needs a network namespace of the container's own");
    }
    if dotted == "kernel.domainname" || dotted == "kernel.hostname" {
        return (!has(Kind::Uts)).then_some("needs a uts namespace of the container's own");
    }
    if dotted.starts_with("user.") {
        return (!has(Kind::User)).then_some("needs a user namespace of the container's own");
    }
    Some("is the whole machine's and not a container's: set it on the host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxNamespaceType as Kind;

    #[test]
    fn names_may_be_written_with_slashes_for_interfaces_with_dots() {
        assert_eq!(path_of("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("net/ipv4/conf/eth0.100/forwarding"), "net/ipv4/conf/eth0.100/forwarding");
    }

    #[test]
    fn a_parameter_of_the_whole_machine_is_refused() {
        assert!(fault("kernel.panic", |_| true).is_some());
        assert!(fault("vm.swappiness", |_| true).is_some());
        assert!(fault("net.ipv4.ip_forward", |_| true).is_none());
        assert!(fault("net.ipv4.ip_forward", |kind| kind != Kind::Network).is_some());
        assert!(fault("kernel.shmmax", |kind| kind != Kind::Ipc).is_some());
        assert!(fault("net..ip", |_| true).is_some());
        assert!(fault("net/../kernel/panic", |_| true).is_some());
    }
}
