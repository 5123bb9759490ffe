//! Resource limits, the memory score, scheduling, I/O priority and personality of a container's process.

use std::{fs, io};

use oci_spec::runtime::{
    IOPriorityClass, LinuxPersonality, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy,
    PosixRlimit, PosixRlimitType, Process, Scheduler,
};
use rustix::{
    process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit},
    thread::{CpuSet, sched_setaffinity},
};

use crate::{During, RuntimeError, sys::attributes};

const fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

/// `None` is no limit, for the kernel and here.
fn limit(value: u64) -> Option<u64> {
    (value != u64::MAX).then_some(value)
}

/// The hard limit of the calling process; `None` is no limit.
#[must_use]
pub fn hard_limit(kind: PosixRlimitType) -> Option<u64> {
    getrlimit(resource(kind)).maximum
}

fn step(limit: &PosixRlimit) -> String {
    format!("setting {} to {}:{}", limit.typ(), limit.soft(), limit.hard())
}

/// From outside, before the process goes on: the hard limits that are above its own. Only the caller's privileges
/// allow that; in a user namespace the process has none that count.
pub(super) fn raise(pid: i32, process: &Process) -> Result<(), RuntimeError> {
    let pid = Pid::from_raw(pid);
    for wanted in process.rlimits().as_deref().unwrap_or_default() {
        let kind = resource(wanted.typ());
        let now = getrlimit(kind);
        let hard = limit(wanted.hard());
        let higher = match (hard, now.maximum) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(wanted), Some(now)) => wanted > now,
        };
        if higher {
            prlimit(pid, kind, Rlimit { current: now.current, maximum: hard }).during(|| step(wanted))?;
        }
    }
    Ok(())
}

/// In the process, last of all: the limits as they are asked for, which are at or below the hard ones.
pub(super) fn set(process: &Process) -> Result<(), RuntimeError> {
    process.rlimits().as_deref().unwrap_or_default().iter().try_for_each(|wanted| {
        let limits = Rlimit { current: limit(wanted.soft()), maximum: limit(wanted.hard()) };
        setrlimit(resource(wanted.typ()), limits).during(|| step(wanted))
    })
}

/// From outside: how willingly the kernel ends the process for want of memory.
pub(super) fn set_oom_score(pid: i32, process: &Process) -> Result<(), RuntimeError> {
    let Some(score) = process.oom_score_adj() else { return Ok(()) };
    fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string())
        .during(|| format!("setting process.oomScoreAdj to {score}"))
}

/// In the process, while it is privileged: how processors and disks serve it.
pub(super) fn set_scheduling(process: &Process) -> Result<(), RuntimeError> {
    if let Some(scheduler) = process.scheduler() {
        attributes::scheduler(scheduling(scheduler)?)
            .during(|| format!("setting process.scheduler {}", scheduler.policy()))?;
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let step = || format!("setting process.ioPriority {} {}", priority.class(), priority.priority());
        let number = i32::try_from(priority.priority()).map_err(io::Error::other).during(step)?;
        attributes::io_priority(class, number).during(step)?;
    }
    Ok(())
}

fn scheduling(wanted: &Scheduler) -> Result<attributes::SchedulerAttributes, RuntimeError> {
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flag = |flag: &LinuxSchedulerFlag| match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    };
    let priority = wanted.priority().unwrap_or(0);
    Ok(attributes::SchedulerAttributes {
        policy,
        flags: wanted
            .flags()
            .as_deref()
            .unwrap_or_default()
            .iter()
            .map(flag)
            .fold(0, |flags, flag| flags | flag),
        nice: wanted.nice().unwrap_or(0),
        priority: u32::try_from(priority).map_err(|_| RuntimeError::Spec {
            field: "process.scheduler.priority".into(),
            rule: format!("{priority} is negative"),
        })?,
        runtime: wanted.runtime().unwrap_or(0),
        deadline: wanted.deadline().unwrap_or(0),
        period: wanted.period().unwrap_or(0),
        ..attributes::SchedulerAttributes::default()
    })
}

/// A list of processors, `0-3,7`.
fn processors(field: &str, list: &str) -> Result<CpuSet, RuntimeError> {
    let wrong = || RuntimeError::Spec {
        field: field.to_owned(),
        rule: format!("{list:?} is no list of processors such as 0-3,7, each below {}", CpuSet::MAX_CPU),
    };
    let mut set = CpuSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number =
            |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number < CpuSet::MAX_CPU);
        let (first, last) = (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?);
        if first > last {
            return Err(wrong());
        }
        (first..=last).for_each(|number| set.set(number));
    }
    Ok(set)
}

/// When a further process is put onto processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before it enters the container's control group.
    Initial,
    /// After that.
    Final,
}

/// In a further process: the processors that `process.execCPUAffinity` says.
pub(super) fn set_affinity(process: &Process, moment: Moment) -> Result<(), RuntimeError> {
    let Some(affinity) = process.exec_cpu_affinity() else { return Ok(()) };
    let (field, list) = match moment {
        Moment::Initial => ("process.execCPUAffinity.initial", affinity.initial()),
        Moment::Final => ("process.execCPUAffinity.final", affinity.cpu_affinity_final()),
    };
    let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else { return Ok(()) };
    sched_setaffinity(None, &processors(field, list)?).during(|| format!("setting {field} to {list}"))
}

/// In the process: what it takes the machine for.
pub(super) fn set_personality(wanted: &LinuxPersonality) -> Result<(), RuntimeError> {
    let domain = match wanted.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    };
    attributes::personality(domain).during(|| format!("setting linux.personality {}", wanted.domain()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read_and_others_are_refused() {
        let set = processors("f", "0-2,5").unwrap();
        assert_eq!((0..8).filter(|number| set.is_set(*number)).collect::<Vec<_>>(), [0, 1, 2, 5]);
        for wrong in ["", "a", "3-1", "1,,2", "99999", "-1"] {
            assert!(processors("f", wrong).is_err(), "{wrong}");
        }
    }
}
