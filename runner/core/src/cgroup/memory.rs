//! Limits of memory.

use std::path::Path;

use oci_spec::runtime::LinuxMemory;
use rustix::io::Errno;

use super::{Cgroup, file, limits::Home};
use crate::{During, RuntimeError};

const LIMIT: &str = "linux.resources.memory.limit";
const SWAP: &str = "linux.resources.memory.swap";

/// Version 1 has no word for no limit, but the greatest number of pages.
pub(super) const UNLIMITED_V1: u64 = 0x7fff_ffff_ffff_f000;

fn spec(field: &str, rule: String) -> RuntimeError {
    RuntimeError::Spec { field: field.to_owned(), rule }
}

fn unsupported(what: &str, why: &str) -> RuntimeError {
    RuntimeError::Unsupported { what: what.to_owned(), why: why.to_owned() }
}

/// A limit as it was asked for: nothing, none (`-1`), or bytes. 0 is nothing, which is what callers send who have no
/// word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Unlimited,
    Bytes(u64),
}

fn asked(field: &str, value: Option<i64>) -> Result<Asked, RuntimeError> {
    match value {
        None | Some(0) => Ok(Asked::Nothing),
        Some(-1) => Ok(Asked::Unlimited),
        Some(bytes) => match u64::try_from(bytes) {
            Ok(bytes) => Ok(Asked::Bytes(bytes)),
            Err(_) => Err(spec(field, format!("{bytes} is no size: write bytes, or -1 for no limit"))),
        },
    }
}

pub(super) fn apply(group: &Cgroup, memory: &LinuxMemory) -> Result<(), RuntimeError> {
    let limit = asked(LIMIT, memory.limit())?;
    let swap = asked(SWAP, memory.swap())?;
    let reservation = asked("linux.resources.memory.reservation", memory.reservation())?;
    if let (Asked::Bytes(limit), Asked::Bytes(swap)) = (limit, swap)
        && swap < limit
    {
        return Err(spec(
            SWAP,
            format!("{swap} is below the memory limit of {limit}: it is memory and swap together"),
        ));
    }
    let swappiness = memory.swappiness();
    if let Some(above @ 101..) = swappiness {
        return Err(spec("linux.resources.memory.swappiness", format!("{above} is not 0 to 100")));
    }
    let keeps = memory.disable_oom_killer() == Some(true);
    let limits = [limit, swap, reservation].iter().any(|asked| matches!(asked, Asked::Bytes(_)));
    if !limits && swappiness.is_none() && !keeps {
        // Nothing but "no limit", which also holds where there is no controller.
        if [limit, swap, reservation].iter().all(|asked| *asked == Asked::Nothing) {
            return Ok(());
        }
        if group.home("memory", "memory")?.is_none() {
            return Ok(());
        }
    }
    match group.needed("memory", "memory", LIMIT)? {
        Home::V1(folder) => {
            v1_limits(folder, limit, swap, memory.check_before_update() == Some(true))?;
            if let Some(bytes) = number(reservation) {
                file::write(&folder.join("memory.soft_limit_in_bytes"), &bytes)?;
            }
            if let Some(swappiness) = swappiness {
                file::write(&folder.join("memory.swappiness"), &swappiness.to_string())?;
            }
            if let Some(disable) = memory.disable_oom_killer() {
                file::write(&folder.join("memory.oom_control"), if disable { "1" } else { "0" })?;
            }
            Ok(())
        }
        Home::V2(folder) => {
            if swappiness.is_some() {
                return Err(unsupported(
                    "linux.resources.memory.swappiness",
                    "control groups of version 2 have none: leave it out, or limit swap",
                ));
            }
            if keeps {
                return Err(unsupported(
                    "linux.resources.memory.disableOOMKiller",
                    "control groups of version 2 cannot stop processes in place of ending them: leave it out",
                ));
            }
            v2_limits(folder, limit, swap)?;
            match reservation {
                Asked::Nothing => Ok(()),
                Asked::Unlimited => file::write(&folder.join("memory.low"), "max"),
                Asked::Bytes(bytes) => file::write(&folder.join("memory.low"), &bytes.to_string()),
            }
        }
    }
}

/// As version 1 writes it.
fn number(asked: Asked) -> Option<String> {
    match asked {
        Asked::Nothing => None,
        Asked::Unlimited => Some("-1".into()),
        Asked::Bytes(bytes) => Some(bytes.to_string()),
    }
}

fn below_usage(limit: u64, usage: u64) -> RuntimeError {
    spec(
        LIMIT,
        format!(
            "{limit} bytes are below the {usage} bytes that the container uses and cannot give back: take a higher \
             limit, or end some of its processes"
        ),
    )
}

/// Memory with swap is never below memory, so the order of the two writes is that of their direction.
fn v1_limits(folder: &Path, limit: Asked, swap: Asked, check: bool) -> Result<(), RuntimeError> {
    let both = folder.join("memory.memsw.limit_in_bytes");
    let current = file::number(&both)?;
    if let (Asked::Bytes(limit), true) = (limit, check) {
        let usage = file::number(&folder.join("memory.usage_in_bytes"))?.unwrap_or(0);
        if usage > limit {
            return Err(below_usage(limit, usage));
        }
    }
    let write_swap = || match (number(swap), current) {
        (None, _) => Ok(()),
        (Some(bytes), Some(_)) => file::write(&both, &bytes),
        (Some(_), None) if swap == Asked::Unlimited => Ok(()),
        (Some(_), None) => Err(unsupported(
            SWAP,
            "the kernel does not count swap: start it with swapaccount=1, or leave this limit out",
        )),
    };
    let raises = match swap {
        Asked::Nothing => false,
        Asked::Unlimited => true,
        Asked::Bytes(swap) => current.is_some_and(|current| swap > current),
    };
    if raises {
        write_swap()?;
    }
    if let Some(bytes) = number(limit) {
        let file = folder.join("memory.limit_in_bytes");
        let written = file::try_write(&file, &bytes);
        let errno = written.as_ref().err().and_then(Errno::from_io_error);
        match (errno, limit) {
            (Some(Errno::BUSY), Asked::Bytes(limit)) => {
                let usage = file::number(&folder.join("memory.usage_in_bytes"))?.unwrap_or(0);
                return Err(below_usage(limit, usage));
            }
            (Some(Errno::INVAL), _) if swap == Asked::Nothing => {
                let current = current.unwrap_or(UNLIMITED_V1);
                return Err(spec(
                    LIMIT,
                    format!(
                        "{bytes} is above the limit of memory and swap together, {current}: raise memory.swap too"
                    ),
                ));
            }
            _ => written.during(|| format!("writing {bytes} to {}", file.display()))?,
        }
    }
    if raises { Ok(()) } else { write_swap() }
}

fn v2_limits(folder: &Path, limit: Asked, swap: Asked) -> Result<(), RuntimeError> {
    let max = folder.join("memory.max");
    let swap = v2_swap(&max, limit, swap)?;
    let write_swap = || -> Result<(), RuntimeError> {
        let Some(swap) = &swap else { return Ok(()) };
        let file = folder.join("memory.swap.max");
        match file::try_write(&file, swap) {
            // The kernel does not count swap, so a limit cannot hold; none does.
            Err(error) if file::gone(&error) && swap == "max" => Ok(()),
            Err(error) if file::gone(&error) => Err(unsupported(
                SWAP,
                "the kernel does not count swap: start it with swapaccount=1, or leave this limit out",
            )),
            done => done.during(|| format!("writing {swap} to {}", file.display())),
        }
    };
    match limit {
        Asked::Nothing => write_swap(),
        Asked::Unlimited => {
            file::write(&max, "max")?;
            write_swap()
        }
        Asked::Bytes(limit) => {
            fits(folder, limit)?;
            write_swap()?;
            file::write(&max, &limit.to_string())
        }
    }
}

/// What version 2 counts is swap alone; the specification counts memory and swap together.
fn v2_swap(max: &Path, limit: Asked, swap: Asked) -> Result<Option<String>, RuntimeError> {
    let Asked::Bytes(both) = swap else {
        return Ok((swap == Asked::Unlimited).then(|| "max".into()));
    };
    let limit = match limit {
        Asked::Bytes(limit) => Some(limit),
        Asked::Unlimited => None,
        Asked::Nothing => file::number(max)?,
    };
    match limit {
        Some(limit) if limit <= both => Ok(Some((both - limit).to_string())),
        Some(limit) => Err(spec(
            SWAP,
            format!("{both} is below the memory limit of {limit}: it is memory and swap together"),
        )),
        None => Err(spec(
            SWAP,
            "it is memory and swap together, and memory has no limit: set memory.limit too".into(),
        )),
    }
}

/// A limit below what is in use makes version 2 end processes. So it is asked first what can be given back: a high
/// mark makes the kernel try, and nothing is ended for it.
fn fits(folder: &Path, limit: u64) -> Result<(), RuntimeError> {
    let usage = || file::number(&folder.join("memory.current"));
    if usage()?.is_none_or(|usage| usage <= limit) {
        return Ok(());
    }
    let high = folder.join("memory.high");
    let before = file::read(&high)?;
    file::write(&high, &limit.to_string())?;
    let usage = usage();
    if let Some(before) = before {
        file::write(&high, before.trim())?;
    }
    match usage? {
        Some(usage) if usage > limit => Err(below_usage(limit, usage)),
        _ => Ok(()),
    }
}
