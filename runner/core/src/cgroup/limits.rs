//! Limits of the runtime specification, written to whichever version has the controller.

use std::path::Path;

use oci_spec::runtime::LinuxResources;

use super::{Cgroup, block, cpu, file, memory, other};
use crate::RuntimeError;

/// Where a controller of a group is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Home<'a> {
    V1(&'a Path),
    V2(&'a Path),
}

/// Controllers of version 2 that limits are asked of.
pub(super) fn wanted(resources: Option<&LinuxResources>) -> Vec<&str> {
    let Some(of) = resources else { return Vec::new() };
    let mut wanted = Vec::new();
    let mut want = |there: bool, controller| {
        if there {
            wanted.push(controller);
        }
    };
    let memory = of.memory().as_ref();
    want(
        memory
            .is_some_and(|m| [m.limit(), m.swap(), m.reservation()].iter().any(|n| n.is_some_and(|n| n > 0))),
        "memory",
    );
    let cpu = of.cpu().as_ref();
    want(
        cpu.is_some_and(|cpu| cpu.shares().is_some() || cpu.quota().is_some() || cpu.period().is_some()),
        "cpu",
    );
    want(cpu.is_some_and(|cpu| cpu.cpus().is_some() || cpu.mems().is_some()), "cpuset");
    want(of.pids().is_some_and(|pids| pids.limit() > 0), "pids");
    want(of.block_io().is_some(), "io");
    want(of.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty()), "hugetlb");
    let files = of.unified().iter().flatten().filter_map(|(key, _)| key.split_once('.'));
    wanted.extend(files.map(|(controller, _)| controller).filter(|controller| *controller != "cgroup"));
    wanted
}

/// Whether a group of version 2 has every controller that limits are asked of.
pub(super) fn has_all(folder: &Path, resources: Option<&LinuxResources>) -> Result<bool, RuntimeError> {
    let has = file::read(&folder.join("cgroup.controllers"))?.unwrap_or_default();
    Ok(wanted(resources).iter().all(|wanted| has.split_whitespace().any(|one| one == *wanted)))
}

impl Cgroup {
    /// Where a controller is; `v1` and `v2` are its names.
    pub(super) fn home(&self, v1: &str, v2: &str) -> Result<Option<Home<'_>>, RuntimeError> {
        let mut folders = self.folders.iter();
        if let Some((_, folder)) = folders.find(|(options, _)| options.split(',').any(|one| one == v1)) {
            return Ok(Some(Home::V1(folder)));
        }
        let Some(folder) = self.unified_folder() else { return Ok(None) };
        let has = file::read(&folder.join("cgroup.controllers"))?.unwrap_or_default();
        Ok(has.split_whitespace().any(|one| one == v2).then_some(Home::V2(folder)))
    }

    /// The same for a limit that is asked for.
    pub(super) fn needed(&self, v1: &str, v2: &str, field: &str) -> Result<Home<'_>, RuntimeError> {
        match self.home(v1, v2)? {
            Some(home) => Ok(home),
            None => Err(self.missing(v2, field)?),
        }
    }

    /// Why a controller is not there, and what can be done about it.
    fn missing(&self, controller: &str, field: &str) -> Result<RuntimeError, RuntimeError> {
        let why = match self.unified_folder() {
            Some(folder) => {
                let above = folder.parent().unwrap_or(folder);
                let held = file::read(&above.join("cgroup.controllers"))?.unwrap_or_default();
                if !held.split_whitespace().any(|one| one == controller) {
                    format!(
                        "{} has no {controller} controller to give: add it above (by systemd: Delegate=yes), or \
                         leave the limit out",
                        above.display()
                    )
                } else if file::read(&above.join("cgroup.procs"))?.is_some_and(|text| !text.trim().is_empty())
                {
                    format!(
                        "processes are in {}, and such a group gives no {controller} controller to others: take a \
                         linux.cgroupsPath below a group without processes, or leave the limit out",
                        above.display()
                    )
                } else {
                    format!(
                        "this user may not take the {controller} controller from {}: have the group delegated (by \
                         systemd: Delegate=yes), or leave the limit out",
                        above.display()
                    )
                }
            }
            None => match &self.refused {
                Some(refused) => format!(
                    "no control group can be made ({refused}): run in a delegated group (systemd-run --user --scope -p \
                     Delegate=yes), or leave the limit out"
                ),
                None => format!(
                    "no {controller} controller is mounted writable: mount control groups (version 2 at /sys/fs/cgroup), \
                     or leave the limit out"
                ),
            },
        };
        Ok(RuntimeError::Unsupported { what: field.to_owned(), why })
    }

    /// Writes what is asked for. Memory comes last: what our own processes use before counts, too.
    pub(super) fn apply(&self, resources: &LinuxResources) -> Result<(), RuntimeError> {
        if let Some(cpu) = resources.cpu() {
            cpu::apply(self, cpu)?;
        }
        if let Some(pids) = resources.pids() {
            other::pids(self, *pids)?;
        }
        if let Some(block) = resources.block_io() {
            block::apply(self, block)?;
        }
        if let Some(limits) = resources.hugepage_limits() {
            other::hugepages(self, limits)?;
        }
        if let Some(network) = resources.network() {
            other::network(self, network)?;
        }
        if let Some(rdma) = resources.rdma() {
            other::rdma(self, rdma)?;
        }
        if let Some(memory) = resources.memory() {
            memory::apply(self, memory)?;
        }
        if let Some(unified) = resources.unified() {
            other::unified(self, unified)?;
        }
        Ok(())
    }
}
