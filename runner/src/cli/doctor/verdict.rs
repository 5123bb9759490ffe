//! What is said of a machine: a line for each thing that containers are built on.

use berth_runtime::{CgroupVersion, Features};

use super::machine::Machine;
use crate::supervisor::outside;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// All of it is there.
    Ok,
    /// Containers run, with less.
    Limited,
    /// It is not there.
    Missing,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// What there is.
    pub(super) found: String,
    /// What follows from it; empty where all is well.
    pub(super) follows: String,
    /// What can be done; empty where nothing has to be, or can.
    pub(super) way_out: String,
    /// No container runs here.
    pub(super) fatal: bool,
}

impl Line {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        let (follows, way_out) = Default::default();
        Self { name, verdict: Verdict::Ok, found: found.into(), follows, way_out, fatal: false }
    }

    /// What there is of it, what follows, what can be done.
    fn limited(name: &'static str, found: impl Into<String>, follows: &str, way_out: &str) -> Self {
        let (follows, way_out) = (follows.into(), way_out.into());
        Self { name, verdict: Verdict::Limited, found: found.into(), follows, way_out, fatal: false }
    }

    fn missing(name: &'static str, found: impl Into<String>, follows: &str, way_out: &str) -> Self {
        Self { verdict: Verdict::Missing, ..Self::limited(name, found, follows, way_out) }
    }

    /// Missing, so that no container runs.
    fn fatal(name: &'static str, found: impl Into<String>, follows: &str, way_out: &str) -> Self {
        Self { fatal: true, ..Self::missing(name, found, follows, way_out) }
    }
}

/// Everything, what is most basic first.
pub(super) fn lines(machine: &Machine) -> Vec<Line> {
    let mut lines = vec![kernel(machine), namespaces(&machine.features), user_namespaces(machine)];
    if !machine.root {
        lines.extend([sub_ids(machine), id_programs(machine), own_namespace(machine)]);
    }
    lines.extend([overlay(machine), shared_contents(machine), id_mapped(machine)]);
    lines.extend([cgroups(&machine.features), controllers(machine), swap(&machine.features)]);
    lines.extend([seccomp(&machine.features), security(&machine.features), network(machine)]);
    lines.extend(runtimes(machine));
    lines
}

fn kernel(machine: &Machine) -> Line {
    let calls = &machine.features.calls;
    let lacking = |calls: &[(&'static str, bool)]| {
        let names: Vec<_> = calls.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
        names.join(", ")
    };
    let needed =
        lacking(&[("clone3", calls.clone3), ("pidfd_open", calls.pidfd), ("openat2", calls.openat2)]);
    let used = lacking(&[
        ("fsopen", calls.mount_api),
        ("mount_setattr", calls.mount_setattr),
        ("close_range", calls.close_range),
        ("clone3 into a group", calls.clone_into_cgroup),
        ("cgroup.kill", machine.features.group_kill),
    ]);
    let found = format!("Linux {}", machine.features.kernel);
    if !needed.is_empty() {
        let found = format!("{found} without {needed}");
        return Line::fatal(
            "kernel",
            found,
            "containers are made by these system calls",
            "Linux 5.6 or later; where this is a container itself, a seccomp profile that allows them",
        );
    }
    if !used.is_empty() {
        let found = format!("{found} without {used}");
        return Line::limited(
            "kernel",
            found,
            "older and slower ways are gone instead",
            "Linux 5.14 or later",
        );
    }
    Line::ok("kernel", found)
}

fn namespaces(features: &Features) -> Line {
    let lacking = |names: &[&'static str]| {
        let missing = names.iter().filter(|name| !features.namespaces.iter().any(|one| one == *name));
        missing.copied().collect::<Vec<_>>().join(" ")
    };
    let needed = lacking(&["ipc", "mnt", "net", "pid", "uts"]);
    if !needed.is_empty() {
        let found = format!("no {needed}");
        return Line::fatal(
            "namespaces",
            found,
            "a container is made of them",
            "a kernel with CONFIG_NAMESPACES and all kinds of them",
        );
    }
    let also = lacking(&["cgroup", "time", "user"]);
    if !also.is_empty() {
        return Line::limited(
            "namespaces",
            format!("no {also}"),
            "containers share these with the machine",
            "a newer kernel (cgroup: 4.6, time: 5.6), with CONFIG_USER_NS",
        );
    }
    Line::ok("namespaces", features.namespaces.join(" "))
}

fn user_namespaces(machine: &Machine) -> Line {
    let features = &machine.features;
    let name = "user namespaces";
    let way_out = "root says: sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1 (the \
                   second where it exists)";
    if machine.root {
        return if features.user_namespaces {
            Line::ok(name, "root may make them")
        } else {
            let follows = "--userns is refused, and root in a container is root of the machine";
            Line::missing(name, "switched off", follows, way_out)
        };
    }
    if !features.unprivileged_user_namespaces {
        let follows = "an ordinary user's containers are made in one";
        return Line::fatal(name, "ordinary users may not make them", follows, way_out);
    }
    if features.unprivileged_restricted {
        return Line::limited(
            name,
            "AppArmor takes the rights in them away",
            "an ordinary user's containers fail, unless a profile allows this program",
            "root says: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or gives berth-runner a profile \
             with `userns,`",
        );
    }
    Line::ok(name, "ordinary users may make them")
}

/// How many ids an image's files commonly have.
const COMMON_IDS: u64 = 65_536;

fn sub_ids(machine: &Machine) -> Line {
    let ids = &machine.features.sub_ids;
    let found = format!("{} users in /etc/subuid, {} groups in /etc/subgid", ids.users, ids.groups);
    let way_out = "root says: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER";
    match ids.users.min(ids.groups) {
        0 => Line::missing(
            "subordinate ids",
            found,
            "containers have one id, and images with files of others may not work",
            way_out,
        ),
        few if few < COMMON_IDS => {
            let follows = "images with files of higher ids cannot be unpacked";
            Line::limited("subordinate ids", found, follows, way_out)
        }
        _ => Line::ok("subordinate ids", found),
    }
}

fn id_programs(machine: &Machine) -> Line {
    let ids = &machine.features.sub_ids;
    let missing: Vec<_> = [("newuidmap", &ids.newuidmap), ("newgidmap", &ids.newgidmap)]
        .into_iter()
        .filter(|(_, program)| program.is_none())
        .map(|(name, _)| name)
        .collect();
    if missing.is_empty() {
        return Line::ok("newuidmap", "newuidmap and newgidmap are installed");
    }
    Line::missing(
        "newuidmap",
        format!("{} not installed", missing.join(" and ")),
        "subordinate ids cannot be used",
        "install them (package `uidmap` or `shadow-utils`)",
    )
}

fn own_namespace(machine: &Machine) -> Line {
    match &machine.ids {
        Ok((users, groups)) => {
            Line::ok("own namespace", format!("was made, with {users} users and {groups} groups"))
        }
        Err(error) => Line::fatal(
            "own namespace",
            error,
            "the store and all containers of an ordinary user are in it",
            "mend what the lines above name",
        ),
    }
}

/// Whether a release is older than that.
fn older(release: &str, than: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < than
}

fn overlay(machine: &Machine) -> Line {
    let features = &machine.features;
    let store = machine.store.display();
    if !machine.root && older(&features.kernel, (5, 11)) {
        let found = "this kernel's is root's alone";
        return Line::fatal(
            "overlay",
            found,
            "images are mounted by it",
            "Linux 5.11 or later, or run as root",
        );
    }
    match &machine.overlay {
        Err(error) => Line::fatal(
            "overlay",
            error,
            "images are mounted by it",
            "name another folder with --root, on ext4, xfs, btrfs or tmpfs",
        ),
        // Trying loads the module.
        Ok(can) if features.overlay || can.data_only || can.userxattr_metacopy || can.id_mapped => {
            Line::ok("overlay", format!("for layers in {store}"))
        }
        Ok(_) => Line::fatal(
            "overlay",
            "the kernel knows no such file system",
            "images are mounted by it",
            "modprobe overlay, or a kernel with CONFIG_OVERLAY_FS",
        ),
    }
}

fn shared_contents(machine: &Machine) -> Line {
    let name = "shared contents";
    let can = machine.overlay.as_ref().copied().unwrap_or_default();
    let there = if machine.root { can.data_only } else { can.userxattr_metacopy };
    if there {
        return Line::ok(name, "overlay takes large files from one place for all layers");
    }
    Line::limited(
        name,
        "overlay does not take contents from layers of their own",
        "files are linked into layers instead, which costs some space",
        if machine.root { "Linux 6.5 or later" } else { "Linux 6.16 or later" },
    )
}

fn id_mapped(machine: &Machine) -> Line {
    let name = "id-mapped mounts";
    let can = machine.overlay.as_ref().copied().unwrap_or_default();
    if !machine.root {
        // The kernel gives them to the owner of the file system, who an ordinary user is not.
        return Line::ok(name, "not needed: an ordinary user's containers share one user namespace");
    }
    match (machine.id_mapped, can.id_mapped) {
        (true, true) => Line::ok(name, "for volumes and for layers"),
        (true, false) => Line::limited(
            name,
            "for volumes, not for layers",
            "--userns auto and keep-id are refused",
            "Linux 5.19 or later",
        ),
        (false, _) => Line::limited(
            name,
            format!("not by the file system of {}", machine.store.display()),
            "--userns auto and keep-id are refused, and volumes keep the ids that they have",
            "Linux 5.12 or later, and a store on ext4, xfs, btrfs or (Linux 6.3) tmpfs",
        ),
    }
}

fn cgroups(features: &Features) -> Line {
    let name = "control groups";
    match features.cgroups {
        CgroupVersion::Absent => Line::missing(
            name,
            "none are mounted",
            "containers run without limits of memory, processor or processes",
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        ),
        CgroupVersion::V1 => Line::ok(name, "version 1"),
        CgroupVersion::Hybrid => Line::ok(name, "version 1 with version 2 beside it"),
        CgroupVersion::V2 => Line::ok(name, "version 2"),
    }
}

/// Controllers that flags of `run` need, with one of the names that they have.
const CONTROLLERS: [(&[&str], &str); 5] = [
    (&["memory"], "--memory"),
    (&["pids"], "--pids-limit"),
    (&["cpu"], "--cpus"),
    (&["cpuset"], "--cpuset-cpus"),
    (&["io", "blkio"], "--device-read-bps"),
];

fn controllers(machine: &Machine) -> Line {
    let name = "limits";
    let usable: Vec<_> = machine.features.limits.iter().filter(|one| one.writable).collect();
    let refused: Vec<_> = CONTROLLERS
        .iter()
        .filter(|(names, _)| !usable.iter().any(|one| names.contains(&one.name.as_str())))
        .map(|(_, flag)| *flag)
        .collect();
    let names: Vec<_> = usable.iter().map(|one| one.name.as_str()).collect();
    let found = if names.is_empty() { "no controller".into() } else { names.join(" ") };
    if refused.is_empty() {
        return Line::ok(name, found);
    }
    let follows = format!("{} cannot be held", refused.join(", "));
    let way_out = match (machine.root, machine.features.cgroups) {
        (true, _) => "boot with these controllers switched on (kernel parameter cgroup_enable=)",
        (false, CgroupVersion::V2) => {
            "systemctl edit user@.service: [Service] Delegate=cpu cpuset io memory pids; log in anew"
        }
        (false, _) => {
            "version 2 of control groups (systemd.unified_cgroup_hierarchy=1), which users can be given"
        }
    };
    match names.is_empty() {
        true => Line::missing(name, found, &follows, way_out),
        false => Line::limited(name, found, &follows, way_out),
    }
}

fn swap(features: &Features) -> Line {
    let name = "swap";
    match (features.swap, features.swap_limits) {
        (false, _) => Line::ok(name, "none, so that limits of memory are whole"),
        (true, Some(true)) => Line::ok(name, "is counted"),
        (true, _) => Line::limited(
            name,
            "is not counted",
            "a container with a limit of memory can use swap beyond it",
            "boot with swapaccount=1, or without swap",
        ),
    }
}

fn seccomp(features: &Features) -> Line {
    let has = |action: &str| features.seccomp_actions.iter().any(|one| one == action);
    if !features.seccomp {
        return Line::missing(
            "seccomp",
            "the kernel filters no system calls",
            "containers run with --security-opt seccomp=unconfined alone",
            "a kernel with CONFIG_SECCOMP_FILTER",
        );
    }
    if !has("user_notif") || !has("kill_process") {
        return Line::limited(
            "seccomp",
            features.seccomp_actions.join(" "),
            "profiles that answer with what is missing are refused",
            "Linux 5.0 or later",
        );
    }
    Line::ok("seccomp", features.seccomp_actions.join(" "))
}

fn security(features: &Features) -> Line {
    let there = [("AppArmor", features.apparmor), ("SELinux", features.selinux)];
    let mut found: Vec<String> =
        there.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect();
    found.extend(features.landlock.map(|version| format!("Landlock {version}")));
    // A further wall, which distributions put up or not: containers are whole without it.
    Line::ok("security modules", if found.is_empty() { "none".into() } else { found.join(", ") })
}

fn network(machine: &Machine) -> Line {
    let all = if machine.root {
        "bridges, published ports and names (no other program is needed)"
    } else {
        "pasta carries packets"
    };
    match &machine.no_network {
        None => Line::ok("network", all),
        Some(missing) if machine.root => {
            let way_out = "a kernel with CONFIG_NF_TABLES (modprobe nf_tables)";
            Line::limited("network", missing, "containers have --network none and host alone", way_out)
        }
        Some(missing) => {
            let follows = "containers have their loopback alone, and ports cannot be published";
            Line::limited("network", missing, follows, "or --network host")
        }
    }
}

/// A line for each other runtime: none is needed.
fn runtimes(machine: &Machine) -> Vec<Line> {
    let line = |found: &outside::Found| {
        let text = format!("{}: {}", found.program.display(), found.version);
        if !found.escapes {
            return Line::ok("other runtime", text);
        }
        Line::limited(
            "other runtime",
            text,
            "containers can leave it (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881): --runtime refuses it",
            &format!(
                "install runc 1.2.8, 1.3.3, 1.4.0 or later; {}=1 runs it nevertheless",
                outside::OVERRIDE
            ),
        )
    };
    if machine.runtimes.is_empty() {
        return vec![Line::ok("other runtimes", "none, and none is needed")];
    }
    machine.runtimes.iter().map(line).collect()
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
