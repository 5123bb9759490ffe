//! Filters of system calls: from `linux.seccomp` to BPF, kept by the hash of the profile, and our default profile.
//!
//! The compiler is our own: a profile has several actions with errors of their own, conditions by masks and several
//! architectures in one program, which no assembler at hand has together.

mod arch;
mod cache;
mod policy;
mod profile;
mod program;

use std::path::Path;

use libc::{SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_TSYNC, sock_filter};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag as Flag};

pub(crate) use self::cache::fuzzed as cache_fuzzed;
pub use self::profile::default_profile;
use crate::{During, RuntimeError, sys};

/// A compiled filter.
pub(crate) struct Filter {
    program: Vec<sock_filter>,
    flags: u32,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filter of {} steps, flags {:#x}", self.program.len(), self.flags)
    }
}

/// Compiles a profile for this machine, for the fuzz target; `None` for one that is refused.
///
/// # Panics
/// If the kernel would not take the program.
pub(crate) fn checked_length(profile: &LinuxSeccomp) -> Option<usize> {
    let filter = Filter::compile(profile, None).ok()?;
    program::assert_sound(&filter.program);
    Some(filter.program.len())
}

impl Filter {
    /// Compiles a profile, or takes what was compiled before from `cache`, a folder that only the caller can write to.
    pub(crate) fn compile(profile: &LinuxSeccomp, cache: Option<&Path>) -> Result<Self, RuntimeError> {
        let flags = flags(profile);
        let native = arch::Arch::native()?;
        let compile = || program::assemble(&policy::Policy::of(profile, native)?);
        let Some(cache) = cache else {
            return Ok(Self { program: compile()?, flags });
        };
        let text = serde_json::to_vec(profile)
            .map_err(std::io::Error::from)
            .during(|| "writing linux.seccomp for its hash".into())?;
        let key = cache::key(&text);
        if let Some(program) = cache::load(cache, &key) {
            return Ok(Self { program, flags });
        }
        let program = compile()?;
        // A full or read-only disk costs the next start some time and must not cost this one the container.
        let _unkept = cache::store(cache, &key, &program);
        Ok(Self { program, flags })
    }

    /// Puts it on the calling process for good. Allocates nothing unless it fails.
    pub(crate) fn install(&self) -> Result<(), RuntimeError> {
        sys::seccomp::install(&self.program, self.flags)
            .during(|| "installing the filter of system calls (linux.seccomp)".into())
    }
}

fn flags(profile: &LinuxSeccomp) -> u32 {
    profile.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                Flag::SeccompFilterFlagLog => narrow(SECCOMP_FILTER_FLAG_LOG),
                Flag::SeccompFilterFlagTsync => narrow(SECCOMP_FILTER_FLAG_TSYNC),
                Flag::SeccompFilterFlagSpecAllow => narrow(SECCOMP_FILTER_FLAG_SPEC_ALLOW),
                // It is about calls that are handed to another process, and the kernel refuses it without these.
                Flag::SeccompFilterFlagWaitKillableRecv => 0,
            }
    })
}

#[expect(clippy::cast_possible_truncation, reason = "seccomp(2) takes its flags as 32 bits")]
const fn narrow(flag: libc::c_ulong) -> u32 {
    flag as u32
}

#[cfg(test)]
mod kernel_tests;
#[cfg(test)]
mod tests;
