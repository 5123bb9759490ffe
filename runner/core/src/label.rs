//! Labels of AppArmor and SELinux, where the kernel has them.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, openat, openat2},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

use crate::{During, RuntimeError};

/// `PROC_SUPER_MAGIC`.
const PROC: u64 = 0x9fa0;

/// A procfs that is one. A file of a container's root that only looks like it would take the label and do nothing with
/// it, and the program would run without. A mount of our own, that nothing else can reach, is one for sure; where it
/// may not be made, `/proc` is asked what it is, and nothing that lies over its files is followed.
fn procfs() -> io::Result<OwnedFd> {
    let own = || -> rustix::io::Result<OwnedFd> {
        let filesystem = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&filesystem)?;
        let quiet = MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV;
        fsmount(&filesystem, FsMountFlags::FSMOUNT_CLOEXEC, quiet)
    };
    if let Ok(own) = own() {
        return Ok(own);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc = openat(CWD, "/proc", flags, Mode::empty())?;
    verified(proc)
}

fn verified(fd: OwnedFd) -> io::Result<OwnedFd> {
    match fstatfs(&fd)?.f_type.cast_unsigned() {
        PROC => Ok(fd),
        _ => Err(io::Error::other("it is not of the filesystem proc")),
    }
}

/// Opens a file of procfs itself, not of anything that was mounted over it.
fn open(proc: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    verified(openat2(proc, name, flags, Mode::empty(), beneath)?)
}

fn read(proc: impl AsFd, name: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let mut text = String::new();
    File::from(verified(openat2(proc, name, flags, Mode::empty(), beneath)?)?).read_to_string(&mut text)?;
    Ok(text)
}

/// Whether SELinux runs: a kernel that only was built with it has the files of its labels, but not its filesystem.
fn selinux_runs(proc: impl AsFd) -> io::Result<bool> {
    Ok(read(proc, "filesystems")?.split_whitespace().any(|name| name == "selinuxfs"))
}

fn without(system: &str, field: &str, text: &str) -> RuntimeError {
    RuntimeError::Unsupported {
        what: format!("{field} {text:?}"),
        why: format!(
            "{system} does not run in this kernel: leave it out, or start the kernel with it (lsm=)"
        ),
    }
}

fn step(field: &str, text: &str) -> impl Fn() -> String {
    let step = format!("setting {field} to {text:?}");
    move || step.clone()
}

/// Writes what the next exec of this thread is to run as.
fn at_exec(file: &OwnedFd, text: &str, field: &str, unknown: Errno) -> Result<(), RuntimeError> {
    match rustix::io::write(file, text.as_bytes()) {
        Ok(written) if written == text.len() => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::WriteZero)).during(step(field, text)),
        Err(error) if error == unknown => Err(RuntimeError::Spec {
            field: field.to_owned(),
            rule: format!("the loaded policy does not know {text:?}: load it, or name one that it knows"),
        }),
        Err(error) => Err(error).during(step(field, text)),
    }
}

/// Makes the next exec of the calling thread take an AppArmor profile (`process.apparmorProfile`). `unconfined` is what
/// a thread has without one, so it is to be had everywhere.
pub(crate) fn apparmor(profile: &str) -> Result<(), RuntimeError> {
    const FIELD: &str = "process.apparmorProfile";
    let during = || step(FIELD, profile);
    let proc = procfs().during(during())?;
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let file = match open(&proc, "thread-self/attr/apparmor/exec") {
        // Before Linux 5.8 there is one file for whichever system runs.
        Err(error) if absent(&error) => {
            let other = selinux_runs(&proc).during(during())?;
            let runs = !other && read(&proc, "thread-self/attr/current").is_ok();
            if !runs {
                return if profile == "unconfined" {
                    Ok(())
                } else {
                    Err(without("AppArmor", FIELD, profile))
                };
            }
            open(&proc, "thread-self/attr/exec").during(during())?
        }
        opened => opened.during(during())?,
    };
    at_exec(&file, &format!("exec {profile}"), FIELD, Errno::NOENT)
}

/// Makes the next exec of the calling thread take an SELinux label (`process.selinuxLabel`).
pub(crate) fn selinux(label: &str) -> Result<(), RuntimeError> {
    const FIELD: &str = "process.selinuxLabel";
    let during = || step(FIELD, label);
    let proc = procfs().during(during())?;
    if !selinux_runs(&proc).during(during())? {
        return Err(without("SELinux", FIELD, label));
    }
    let file = open(&proc, "thread-self/attr/exec").during(during())?;
    at_exec(&file, label, FIELD, Errno::INVAL)
}

/// The parameter of a new filesystem (its name and its value, for fsconfig(2)) that gives everything in it an SELinux
/// label (`linux.mountLabel`). For mount(2) the value stands in double quotes, because labels have commas.
pub(crate) fn mount_context(label: &str) -> Result<(&'static str, String), RuntimeError> {
    const FIELD: &str = "linux.mountLabel";
    if label.is_empty() || label.contains(['"', '\0']) {
        return Err(RuntimeError::Spec {
            field: FIELD.into(),
            rule: format!("{label:?} is no label: write user:role:type:level"),
        });
    }
    let during = || step(FIELD, label);
    let proc = procfs().during(during())?;
    if !selinux_runs(&proc).during(during())? {
        return Err(without("SELinux", FIELD, label));
    }
    Ok(("context", label.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a security system runs on this machine, asked in another way than the code does.
    fn runs(name: &str) -> bool {
        std::fs::read_to_string("/sys/kernel/security/lsm")
            .is_ok_and(|list| list.split(',').any(|one| one == name))
            || std::path::Path::new("/sys/fs").join(name).exists()
    }

    #[test]
    fn a_label_of_a_system_that_does_not_run_is_refused_by_its_name() {
        if !runs("selinux") {
            for error in [selinux("a:b:c:s0").unwrap_err(), mount_context("a:b:c:s0").unwrap_err()] {
                assert!(
                    matches!(&error, RuntimeError::Unsupported { why, .. } if why.contains("SELinux")),
                    "{error}"
                );
            }
        }
        if !runs("apparmor") {
            let error = apparmor("some-profile").unwrap_err();
            assert!(
                matches!(&error, RuntimeError::Unsupported { why, .. } if why.contains("AppArmor")),
                "{error}"
            );
            apparmor("unconfined").unwrap();
        }
    }

    #[test]
    fn only_a_procfs_is_taken_for_one() {
        let other = openat(CWD, "/tmp", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert!(verified(other).unwrap_err().to_string().contains("not of the filesystem proc"));
        procfs().unwrap();
    }

    #[test]
    fn a_mount_label_that_would_end_its_quotes_is_refused() {
        for label in ["", "a\",rw", "a\0b"] {
            assert!(matches!(mount_context(label), Err(RuntimeError::Spec { .. })), "{label:?}");
        }
    }
}
