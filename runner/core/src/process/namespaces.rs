//! Which namespaces a container makes and which it joins, and the order in which that can be done.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::{
    fs::{Mode, OFlags},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space},
};

use crate::{During, RuntimeError, sys};

/// Its name in `/proc/PID/ns` and the kernel's flag.
const fn of_type(kind: LinuxNamespaceType) -> (&'static str, LinkNameSpaceType) {
    match kind {
        LinuxNamespaceType::Mount => ("mnt", LinkNameSpaceType::Mount),
        LinuxNamespaceType::Cgroup => ("cgroup", LinkNameSpaceType::ControlGroup),
        LinuxNamespaceType::Uts => ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
        LinuxNamespaceType::Ipc => ("ipc", LinkNameSpaceType::InterProcessCommunication),
        LinuxNamespaceType::User => ("user", LinkNameSpaceType::User),
        LinuxNamespaceType::Pid => ("pid", LinkNameSpaceType::ProcessID),
        LinuxNamespaceType::Network => ("net", LinkNameSpaceType::Network),
        LinuxNamespaceType::Time => ("time", LinkNameSpaceType::Time),
    }
}

/// A namespace that is joined.
#[derive(Debug)]
struct Joined {
    kind: LinuxNamespaceType,
    path: PathBuf,
    handle: OwnedFd,
}

/// What a container's first process does about namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    new: Vec<LinuxNamespaceType>,
    joined: Vec<Joined>,
    /// `monotonic 5 0` per line, for a new time namespace.
    offsets: Option<String>,
}

impl Namespaces {
    /// From the specification; what is joined is opened, and is a namespace of its type.
    pub(super) fn of(spec: &Spec) -> Result<Self, RuntimeError> {
        let linux = spec.linux().as_ref();
        let mut this = Self { new: Vec::new(), joined: Vec::new(), offsets: None };
        for namespace in linux.and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default() {
            let kind = namespace.typ();
            match namespace.path() {
                Some(path) if !path.as_os_str().is_empty() => {
                    let handle = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .during(|| format!("opening the {kind} namespace {}", path.display()))?;
                    this.joined.push(Joined { kind, path: path.clone(), handle });
                }
                _ => this.new.push(kind),
            }
        }
        if let Some(offsets) = linux.and_then(|linux| linux.time_offsets().as_ref())
            && this.makes(LinuxNamespaceType::Time)
        {
            let line = |(clock, offset): (&String, &oci_spec::runtime::LinuxTimeOffset)| {
                format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0))
            };
            this.offsets = Some(offsets.iter().map(line).collect());
        }
        Ok(this)
    }

    pub(super) fn makes(&self, kind: LinuxNamespaceType) -> bool {
        self.new.contains(&kind)
    }

    /// The handle of the user namespace that is joined.
    pub(super) fn user(&self) -> Option<BorrowedFd<'_>> {
        self.joined
            .iter()
            .find(|joined| joined.kind == LinuxNamespaceType::User)
            .map(|joined| joined.handle.as_fd())
    }

    /// From now on the new user namespace is one that is joined: it was made before, by a process that only held it.
    pub(super) fn join_made_user(&mut self, handle: OwnedFd) {
        self.new.retain(|kind| *kind != LinuxNamespaceType::User);
        self.joined.push(Joined { kind: LinuxNamespaceType::User, path: "(new)".into(), handle });
    }

    /// Whether a process between the caller and the container's has to join first: a joined pid namespace holds only
    /// for children, and what is made inside a user namespace has to be made after it is joined.
    pub(super) fn need_process_between(&self) -> bool {
        self.joined
            .iter()
            .any(|joined| matches!(joined.kind, LinuxNamespaceType::User | LinuxNamespaceType::Pid))
    }

    /// The flags for clone3. The control group's namespace is made later, when the process is in its group; a time
    /// namespace too, whose offsets can be written only before a process is in it.
    pub(super) fn clone_flags(&self) -> u64 {
        self.new
            .iter()
            .filter(|kind| !matches!(kind, LinuxNamespaceType::Cgroup | LinuxNamespaceType::Time))
            .map(|kind| u64::from(*kind as u32))
            .fold(0, |flags, flag| flags | flag)
    }

    /// Joins what is to be joined. What this user may not join from outside is joined from inside the user namespace.
    pub(super) fn join(&self) -> Result<(), RuntimeError> {
        let join =
            |joined: &Joined| move_into_link_name_space(joined.handle.as_fd(), Some(of_type(joined.kind).1));
        let step =
            |joined: &Joined| format!("joining the {} namespace {}", joined.kind, joined.path.display());
        let (user, others): (Vec<_>, Vec<_>) =
            self.joined.iter().partition(|joined| joined.kind == LinuxNamespaceType::User);
        // The mount namespace comes last: the others' files may be reached through it.
        let (mounts, others): (Vec<&Joined>, Vec<&Joined>) =
            others.into_iter().partition(|joined| joined.kind == LinuxNamespaceType::Mount);
        let mut later = Vec::new();
        for joined in others.into_iter().chain(mounts) {
            match join(joined) {
                Ok(()) => {}
                Err(rustix::io::Errno::PERM) if !user.is_empty() => later.push(joined),
                Err(error) => return Err(error).during(|| step(joined)),
            }
        }
        for joined in user {
            join(joined).during(|| step(joined))?;
            become_root()?;
        }
        later.into_iter().try_for_each(|joined| join(joined).during(|| step(joined)))
    }

    /// Makes the cgroup namespace: this process is in its control group now.
    pub(super) fn make_cgroup(&self) -> Result<(), RuntimeError> {
        if self.makes(LinuxNamespaceType::Cgroup) {
            sys::namespaces::unshare(UnshareFlags::NEWCGROUP)
                .during(|| "making the cgroup namespace".into())?;
        }
        Ok(())
    }

    /// Makes what else could not be made by clone3.
    pub(super) fn make_late(&self) -> Result<(), RuntimeError> {
        if self.makes(LinuxNamespaceType::Time) {
            sys::namespaces::unshare(UnshareFlags::NEWTIME).during(|| "making the time namespace".into())?;
            if let Some(offsets) = &self.offsets {
                fs::write("/proc/self/timens_offsets", offsets)
                    .during(|| "setting the offsets of the time namespace".into())?;
            }
            let made = fs::File::open("/proc/self/ns/time_for_children")
                .during(|| "opening the new time namespace".into())?;
            move_into_link_name_space(made.as_fd(), Some(LinkNameSpaceType::Time))
                .during(|| "entering the new time namespace".into())?;
        }
        if self.makes(LinuxNamespaceType::Network) {
            sys::loopback::bring_up().during(|| "bringing the loopback interface up".into())?;
        }
        Ok(())
    }
}

/// Becomes user 0 and group 0 of the user namespace that was just entered.
pub(super) fn become_root() -> Result<(), RuntimeError> {
    use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
    let (root, wheel) = (rustix::process::Uid::ROOT, rustix::process::Gid::ROOT);
    set_thread_res_gid(wheel, wheel, wheel).during(|| "becoming group 0 of the user namespace".into())?;
    set_thread_res_uid(root, root, root).during(|| "becoming user 0 of the user namespace".into())
}

/// The namespaces of a running process that are not this process's own, as flags for one setns.
pub(super) fn foreign(pid: i32) -> Result<rustix::thread::ThreadNameSpaceType, RuntimeError> {
    use rustix::thread::ThreadNameSpaceType as Flags;
    const KINDS: [(&str, Flags); 8] = [
        ("user", Flags::USER),
        ("mnt", Flags::MOUNT),
        ("net", Flags::NETWORK),
        ("ipc", Flags::INTER_PROCESS_COMMUNICATION),
        ("uts", Flags::HOST_NAME_AND_NIS_DOMAIN_NAME),
        ("pid", Flags::PROCESS_ID),
        ("cgroup", Flags::CONTROL_GROUP),
        ("time", Flags::TIME),
    ];
    let link = |path: &Path| -> io::Result<Option<PathBuf>> {
        match fs::read_link(path) {
            Ok(link) => Ok(Some(link)),
            // This kernel does not have namespaces of the kind.
            Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self/ns").exists() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    };
    let mut flags = Flags::empty();
    for (name, flag) in KINDS {
        let theirs = PathBuf::from(format!("/proc/{pid}/ns/{name}"));
        let own = link(&Path::new("/proc/self/ns").join(name))
            .during(|| format!("reading own {name} namespace"))?;
        if own.is_some()
            && link(&theirs)
                .during(|| format!("reading the container's {name} namespace {}", theirs.display()))?
                != own
        {
            flags |= flag;
        }
    }
    Ok(flags)
}
