//! Who the process is: user, groups, capabilities, and what it may never gain back.

use std::fs;

use oci_spec::runtime::Process;
use rustix::{
    process::{DumpableBehavior, Gid, Signal, Uid, set_dumpable_behavior, set_parent_process_death_signal},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
        set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{During, RuntimeError, capability::Sets, seccomp::Filter};

/// Nobody may look into this process or at its program until it is the container's: a process in the container could
/// reach the runtime's own file through `/proc/PID/exe`.
pub(super) fn hide() -> Result<(), RuntimeError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).during(|| "hiding the runtime's process".into())
}

/// Ends this process with its parent, or no longer. The kernel forgets it when the identity changes.
pub(super) fn end_with_parent(yes: bool) -> Result<(), RuntimeError> {
    set_parent_process_death_signal(yes.then_some(Signal::KILL))
        .during(|| "tying the process to its parent's life".into())
}

/// The sets of capabilities that a process asks for; none where it names none.
pub(super) fn sets(process: &Process) -> Result<Sets, RuntimeError> {
    process.capabilities().as_ref().map_or_else(|| Ok(Sets::default()), Sets::of)
}

/// Becomes the user and drops the bounding set. Capabilities stay permitted, so that [`Self::seal`] can use them; those
/// in effect are the user's, so that what is looked up from now on is looked up with the user's rights.
pub(super) fn assume(process: &Process, sets: &Sets) -> Result<(), RuntimeError> {
    let user = process.user();
    sets.drop_bounding()?;
    set_keep_capabilities(true).during(|| "keeping capabilities over the change of user".into())?;
    set_groups(user.additional_gids().as_deref().unwrap_or_default())?;
    let gid = Gid::from_raw(user.gid());
    set_thread_res_gid(gid, gid, gid).during(|| format!("becoming group {}", user.gid()))?;
    let uid = Uid::from_raw(user.uid());
    set_thread_res_uid(uid, uid, uid).during(|| format!("becoming user {}", user.uid()))?;
    set_keep_capabilities(false).during(|| "ending the keeping of capabilities".into())?;
    let kept = capabilities(None).during(|| "reading own capabilities".into())?;
    let effective = CapabilitySet::from_bits_retain(sets.effective) & kept.permitted;
    set_effective(kept, effective)?;
    if let Some(umask) = user.umask() {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    }
    if process.no_new_privileges() == Some(true) {
        set_no_new_privs(true).during(|| "setting no_new_privs".into())?;
    }
    // The change of user made it visible to that user's other processes.
    hide()
}

fn set_effective(kept: CapabilitySets, effective: CapabilitySet) -> Result<(), RuntimeError> {
    set_capabilities(None, CapabilitySets { effective, ..kept })
        .during(|| "setting effective capabilities".into())
}

/// The last step before the program: its filter of system calls and its capabilities.
///
/// With `no_new_privs` the filter comes last. Without it the kernel wants CAP_SYS_ADMIN for a filter, and so the
/// capabilities are dropped after it: a profile has to allow capset and prctl then.
pub(super) fn seal(process: &Process, sets: &Sets, filter: Option<&Filter>) -> Result<(), RuntimeError> {
    let Some(filter) = filter else { return sets.apply() };
    if process.no_new_privileges() == Some(true) {
        sets.apply()?;
        return filter.install();
    }
    let kept = capabilities(None).during(|| "reading own capabilities".into())?;
    set_effective(kept, kept.effective | (kept.permitted & CapabilitySet::SYS_ADMIN))?;
    filter.install()?;
    sets.apply()
}

fn set_groups(wanted: &[u32]) -> Result<(), RuntimeError> {
    let denied = fs::read_to_string("/proc/self/setgroups").is_ok_and(|answer| answer.trim_end() == "deny");
    if denied && wanted.is_empty() {
        return Ok(());
    }
    if denied {
        return Err(RuntimeError::Unsupported {
            what: format!("process.user.additionalGids {wanted:?}"),
            why: "this user namespace has one group only: map a range of /etc/subgid, or ask for no additional groups"
                .into(),
        });
    }
    let groups: Vec<Gid> = wanted.iter().copied().map(Gid::from_raw).collect();
    set_thread_groups(&groups).during(|| format!("setting additional groups {wanted:?}"))
}
