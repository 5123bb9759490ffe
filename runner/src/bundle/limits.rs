//! What a container may use: its control group's limits, and who sets them.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids, LinuxResources,
};
use rustix::thread::{CapabilitySet, capabilities};

use crate::{
    error::{Result, RunnerError},
    record::{Desired, Limits},
};

/// Processes of a container unless another number is asked for.
pub(crate) const PIDS: i64 = 512;

/// The period over which processor time is counted, microseconds.
const PERIOD: u64 = 100_000;

/// Bytes as the specification has them.
fn signed(bytes: u64, flag: &str) -> Result<i64> {
    i64::try_from(bytes)
        .map_err(|_| RunnerError::Usage(format!("{flag}: {bytes} bytes are more than the kernel counts")))
}

fn memory(limits: &Limits, swap_counts: bool) -> Result<Option<LinuxMemory>> {
    let mut memory = LinuxMemory::default();
    if let Some(limit) = limits.memory {
        let limit = signed(limit, "--memory")?;
        memory.set_limit(Some(limit));
        // As much swap again as memory, where the kernel counts it.
        memory.set_swap(swap_counts.then_some(limit.saturating_mul(2)));
    }
    if limits.memory_swap.is_some() {
        memory.set_swap(limits.memory_swap);
    }
    if let Some(reservation) = limits.memory_reservation {
        memory.set_reservation(Some(signed(reservation, "--memory-reservation")?));
    }
    memory.set_swappiness(limits.memory_swappiness);
    memory.set_disable_oom_killer(limits.oom_kill_disable.then_some(true));
    Ok(Some(memory).filter(|memory| *memory != LinuxMemory::default()))
}

fn cpu(limits: &Limits) -> Result<Option<LinuxCpu>> {
    let mut cpu = LinuxCpu::default();
    if let Some(milli) = limits.cpu_milli {
        let quota = milli.saturating_mul(PERIOD) / 1000;
        cpu.set_quota(Some(signed(quota, "--cpus")?)).set_period(Some(PERIOD));
    }
    if limits.cpu_quota.is_some() || limits.cpu_period.is_some() {
        cpu.set_quota(limits.cpu_quota).set_period(limits.cpu_period);
    }
    cpu.set_shares(limits.cpu_shares);
    cpu.set_cpus(limits.cpuset_cpus.clone()).set_mems(limits.cpuset_mems.clone());
    Ok(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()))
}

/// A rule of the devices controller.
pub(super) fn rule(
    allow: bool,
    kind: LinuxDeviceType,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow).set_typ(Some(kind)).set_major(major).set_minor(minor);
    rule.set_access(Some(access.to_owned()));
    rule
}

/// Nothing, then the usual: nodes may be made, and the harmless ones opened.
fn usual_devices() -> Vec<LinuxDeviceCgroup> {
    use LinuxDeviceType::{A, B, C};
    let mut rules = vec![
        rule(false, A, None, None, "rwm"),
        rule(true, C, None, None, "m"),
        rule(true, B, None, None, "m"),
    ];
    // null zero full random urandom, tty console ptmx, and terminals of its own.
    let nodes = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    rules.extend(nodes.map(|(major, minor)| rule(true, C, Some(major), Some(minor), "rwm")));
    rules.push(rule(true, C, Some(136), None, "rwm"));
    rules
}

/// Whether the groups of an ordinary user can be limited by a controller: version 2, and handed to the user.
fn delegated(controller: &str) -> bool {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    let folder = Path::new("/sys/fs/cgroup").join(path);
    let there = std::fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    there.split_whitespace().any(|name| name == controller)
        && rustix::fs::access(folder.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok()
}

/// Whether the kernel counts swap for groups: always in version 2, by a switch in version 1.
fn swap_counts() -> bool {
    let v1 = Path::new("/sys/fs/cgroup/memory");
    !v1.is_dir() || v1.join("memory.memsw.limit_in_bytes").exists()
}

/// The number of the machine's first user namespace, which is part of the kernel's interface.
const FIRST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Whether the capabilities of this process are good for more than a namespace of its own. Where nothing is known of
/// user namespaces there are none.
fn in_first_user_namespace() -> bool {
    std::fs::metadata("/proc/self/ns/user").map_or(true, |about| about.ino() == FIRST_USER_NAMESPACE)
}

/// Who starts it, for what cannot be limited everywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starter {
    /// An ordinary user, in a namespace of the user's own.
    pub(super) rootless: bool,
    /// It may go above its own limits: root, unless that right was taken away or is good in a user namespace only.
    pub(super) raises_limits: bool,
    /// The pids controller can be used.
    pub(super) counts_processes: bool,
    /// Swap is counted.
    pub(super) counts_swap: bool,
}

impl Starter {
    pub(super) fn this(rootless: bool) -> Self {
        let counts_processes = !rootless || delegated("pids");
        let rights = capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_RESOURCE));
        Self {
            rootless,
            raises_limits: rights && in_first_user_namespace(),
            counts_processes,
            counts_swap: swap_counts(),
        }
    }
}

/// How many processes it may have; `None`: as many as there are numbers for.
pub(super) fn pids(desired: &Desired, starter: Starter) -> Option<i64> {
    match desired.limits.pids {
        None => Some(PIDS).filter(|_| starter.counts_processes),
        Some(limit) => Some(limit).filter(|limit| *limit > 0),
    }
}

/// Limits of the control group. `devices` are rules besides the usual.
pub(super) fn resources(
    desired: &Desired,
    devices: Vec<LinuxDeviceCgroup>,
    starter: Starter,
) -> Result<LinuxResources> {
    let limits = &desired.limits;
    let mut resources = LinuxResources::default();
    // In a user namespace no device node can be made, and version 1 hands this controller to nobody.
    if !starter.rootless {
        let rules = if desired.security.privileged {
            vec![rule(true, LinuxDeviceType::A, None, None, "rwm")]
        } else {
            usual_devices().into_iter().chain(devices).collect()
        };
        resources.set_devices(Some(rules));
    }
    resources.set_memory(memory(limits, starter.counts_swap)?);
    resources.set_cpu(cpu(limits)?);
    if let Some(limit) = pids(desired, starter) {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    if limits.blkio_weight.is_some() {
        let mut block = LinuxBlockIo::default();
        block.set_weight(limits.blkio_weight);
        resources.set_block_io(Some(block));
    }
    if !limits.unified.is_empty() {
        resources.set_unified(Some(limits.unified.clone().into_iter().collect()));
    }
    Ok(resources)
}

/// Where its group lies: below `--cgroup-parent`, in systemd's form for a slice; else where the core puts it.
pub(super) fn group(desired: &Desired) -> Option<PathBuf> {
    let parent = desired.limits.cgroup_parent.as_ref()?;
    let slice = Path::new(parent).extension().is_some_and(|kind| kind == "slice");
    if slice && !parent.contains('/') {
        return Some(format!("{parent}:berth:{}", desired.id).into());
    }
    Some(Path::new(parent).join(desired.id.as_str()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::tests::desired;

    pub(in crate::bundle) const ROOT: Starter =
        Starter { rootless: false, raises_limits: true, counts_processes: true, counts_swap: true };
    pub(in crate::bundle) const USER: Starter =
        Starter { rootless: true, raises_limits: false, counts_processes: false, counts_swap: false };

    fn limited(change: impl FnOnce(&mut Limits)) -> LinuxResources {
        let mut container = desired("web", 1);
        change(&mut container.limits);
        resources(&container, Vec::new(), ROOT).unwrap()
    }

    #[test]
    fn nothing_asked_for_limits_processes_and_devices() {
        let resources = limited(|_| ());
        assert_eq!(resources.pids().unwrap().limit(), 512);
        assert!(resources.memory().is_none() && resources.cpu().is_none());
        let rules = resources.devices().as_ref().unwrap();
        assert!(
            !rules[0].allow() && rules[0].typ() == Some(LinuxDeviceType::A) && rules[0].major().is_none()
        );
        // No rule opens a disk or the memory.
        let opens =
            |rule: &&LinuxDeviceCgroup| rule.access().as_deref() != Some("m") && rule.major().is_none();
        assert_eq!(rules[1..].iter().filter(opens).count(), 0);
    }

    #[test]
    fn limits_become_the_specifications() {
        let memory = limited(|limits| limits.memory = Some(64 << 20)).memory().unwrap();
        assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(128 << 20)));
        let memory = limited(|limits| {
            limits.memory = Some(64 << 20);
            limits.memory_swap = Some(-1);
            limits.memory_swappiness = Some(7);
        });
        assert_eq!(memory.memory().unwrap().swap(), Some(-1));
        assert_eq!(memory.memory().unwrap().swappiness(), Some(7));
        let cpu = limited(|limits| limits.cpu_milli = Some(1500));
        assert_eq!(cpu.cpu().as_ref().unwrap().quota(), Some(150_000));
        assert_eq!(cpu.cpu().as_ref().unwrap().period(), Some(100_000));
        let cpu = limited(|limits| limits.cpu_quota = Some(5000));
        assert_eq!(cpu.cpu().as_ref().unwrap().quota(), Some(5000));
        assert!(limited(|limits| limits.pids = Some(-1)).pids().is_none());
        assert_eq!(limited(|limits| limits.pids = Some(7)).pids().unwrap().limit(), 7);
        let unified = limited(|limits| drop(limits.unified.insert("memory.high".into(), "1".into())));
        assert_eq!(unified.unified().as_ref().unwrap()["memory.high"], "1");
    }

    #[test]
    fn what_a_user_cannot_limit_by_groups_is_not_in_them() {
        let container = desired("web", 1);
        let resources = resources(&container, Vec::new(), USER).unwrap();
        assert!(resources.devices().is_none() && resources.pids().is_none());
    }

    #[test]
    fn a_group_lies_below_its_parent() {
        let mut container = desired("web", 1);
        assert_eq!(group(&container), None);
        container.limits.cgroup_parent = Some("/builds".into());
        assert_eq!(group(&container), Some(Path::new("/builds").join(container.id.as_str())));
        container.limits.cgroup_parent = Some("machine.slice".into());
        assert_eq!(
            group(&container).unwrap().to_str().unwrap(),
            format!("machine.slice:berth:{}", container.id)
        );
    }
}
