//! Capabilities: the five sets of a process, from their names to the kernel.

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

use crate::{During, RuntimeError};

/// Every capability up to Linux 6.18; the place in the list is the bit.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The capability of a name as users write it: `CAP_NET_ADMIN`, `net_admin`. `ALL` is not one: it is
/// [`kernel_capabilities`].
///
/// # Errors
/// [`RuntimeError::Spec`] with the name, where no kernel has it.
pub fn capability(name: &str) -> Result<&'static str, RuntimeError> {
    let upper = name.to_ascii_uppercase();
    let wanted = upper.strip_prefix("CAP_").unwrap_or(&upper);
    CAPABILITIES.into_iter().find(|known| known["CAP_".len()..] == *wanted).ok_or_else(|| RuntimeError::Spec {
        field: "process.capabilities".into(),
        rule: format!(
            "{name:?} is no capability: write one of capabilities(7), such as CAP_NET_ADMIN or net_admin, or ALL"
        ),
    })
}

/// The capabilities that the caller can give, which is what `ALL` means: those of this kernel, without what was taken
/// from the caller's own bounding set for good (a container's root has not got all). One that is newer than
/// [`CAPABILITIES`] has no name and is left out, so it is dropped from every container.
///
/// # Errors
/// Where the kernel does not tell.
pub fn kernel_capabilities() -> Result<Vec<&'static str>, RuntimeError> {
    let mut held = Vec::new();
    for (place, name) in CAPABILITIES.into_iter().enumerate() {
        match thread::capability_is_in_bounding_set(CapabilitySet::from_bits_retain(1 << place)) {
            Ok(true) => held.push(name),
            Ok(false) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error).during(|| format!("asking for {name}")),
        }
    }
    Ok(held)
}

/// The highest bit that the kernel knows. It is asked by prctl(2) and not read from `/proc/sys/kernel/cap_last_cap`: in
/// a container's root `/proc` may be missing, or another than it seems.
fn last() -> Result<u8, RuntimeError> {
    let mut last = 0;
    for place in 0..64 {
        match thread::capability_is_in_bounding_set(CapabilitySet::from_bits_retain(1 << place)) {
            Ok(_) => last = place,
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error).during(|| "asking for the capabilities of this kernel".into()),
        }
    }
    Ok(last)
}

/// The five sets as bits. Names that this kernel does not know are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) bounding: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) ambient: u64,
}

fn bit(capability: Capability) -> Result<u64, RuntimeError> {
    let name = capability.to_string();
    let place = CAPABILITIES.into_iter().position(|known| known["CAP_".len()..] == *name);
    place.map(|place| 1 << place).ok_or_else(|| RuntimeError::Spec {
        field: "process.capabilities".into(),
        rule: format!("CAP_{name} is no capability that this program knows: leave it out"),
    })
}

fn bits(names: Option<&Capabilities>, known: u64) -> Result<u64, RuntimeError> {
    names.into_iter().flatten().try_fold(0, |set, name| Ok(set | (bit(*name)? & known)))
}

/// The names of a set, for messages.
fn names(set: u64) -> String {
    let names: Vec<_> = CAPABILITIES
        .into_iter()
        .enumerate()
        .filter(|(place, _)| set & (1 << place) != 0)
        .map(|(_, n)| n)
        .collect();
    names.join(", ")
}

impl Sets {
    /// From the specification.
    pub(crate) fn of(capabilities: &LinuxCapabilities) -> Result<Self, RuntimeError> {
        Self::known_to(last()?, capabilities)
    }

    fn known_to(last: u8, capabilities: &LinuxCapabilities) -> Result<Self, RuntimeError> {
        let known = u64::MAX >> (63 - last);
        let sets = Self {
            bounding: bits(capabilities.bounding().as_ref(), known)?,
            effective: bits(capabilities.effective().as_ref(), known)?,
            inheritable: bits(capabilities.inheritable().as_ref(), known)?,
            permitted: bits(capabilities.permitted().as_ref(), known)?,
            ambient: bits(capabilities.ambient().as_ref(), known)?,
        };
        // The kernel raises only what is in both others. Configurations that name more are common (those that `runc
        // spec` writes do), and what they mean is what is left.
        let sets = Self { ambient: sets.ambient & sets.permitted & sets.inheritable, ..sets };
        // The kernel would answer EPERM, from inside the child and without a name.
        match sets.effective & !sets.permitted {
            0 => Ok(sets),
            beyond => Err(RuntimeError::Spec {
                field: "process.capabilities.effective".into(),
                rule: format!(
                    "{}: only permitted capabilities can be effective: add it to permitted",
                    names(beyond)
                ),
            }),
        }
    }

    /// Drops the bounding set; before the identity changes. Allocates nothing unless it fails.
    pub(crate) fn drop_bounding(&self) -> Result<(), RuntimeError> {
        for place in 0..64 {
            let one = CapabilitySet::from_bits_retain(1 << place);
            // Asked first: one that is not in the set needs no right to be dropped. The first that the kernel does not
            // know ends the list.
            match thread::capability_is_in_bounding_set(one) {
                Err(rustix::io::Errno::INVAL) => break,
                Ok(false) => continue,
                Ok(true) if self.bounding & (1 << place) != 0 => continue,
                Ok(true) => thread::remove_capability_from_bounding_set(one),
                Err(error) => Err(error),
            }
            .during(|| format!("dropping {} from the bounding set", names(1 << place)))?;
        }
        Ok(())
    }

    /// Sets the other four; after the identity changed (with `PR_SET_KEEPCAPS` around it, which is the caller's).
    /// Allocates nothing unless it fails.
    pub(crate) fn apply(&self) -> Result<(), RuntimeError> {
        // First, because the kernel takes out of the ambient set what leaves the two others, and what was ambient
        // before is not to stay because it is in both by chance.
        thread::clear_ambient_capability_set().during(|| "emptying the ambient capabilities".into())?;
        let set = CapabilitySet::from_bits_retain;
        thread::set_capabilities(
            None,
            CapabilitySets {
                effective: set(self.effective),
                permitted: set(self.permitted),
                inheritable: set(self.inheritable),
            },
        )
        .map_err(|error| self.refused(error))?;
        for place in (0..64).filter(|place| self.ambient & (1 << place) != 0) {
            thread::configure_capability_in_ambient_set(set(1 << place), true)
                .during(|| format!("making {} ambient", names(1 << place)))?;
        }
        Ok(())
    }
}

impl Sets {
    /// What the kernel's EPERM to all sets together was about.
    fn refused(&self, error: rustix::io::Errno) -> RuntimeError {
        let held = thread::capabilities(None).map_or(u64::MAX, |sets| sets.permitted.bits());
        match self.permitted & !held {
            0 => RuntimeError::Step {
                step: format!("setting the capabilities {}", names(self.permitted)),
                source: error.into(),
            },
            missing => RuntimeError::Unsupported {
                what: format!("process.capabilities: {}", names(missing)),
                why: "who starts the container has not got it and so cannot give it: leave it out".into(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxCapabilitiesBuilder;

    use super::*;

    fn all(capabilities: &[Capability]) -> Capabilities {
        capabilities.iter().copied().collect()
    }

    #[test]
    fn every_name_has_its_bit_and_its_type() {
        for (place, name) in CAPABILITIES.into_iter().enumerate() {
            let typed: Capability = serde_json::from_str(&format!("\"{name}\"")).unwrap();
            assert_eq!(bit(typed).unwrap(), 1 << place, "{name}");
            let ours = CapabilitySet::from_bits(1 << place).unwrap();
            assert_eq!(format!("{ours:?}"), format!("CapabilitySet({})", &name["CAP_".len()..]));
        }
    }

    #[test]
    fn names_are_taken_as_users_write_them() {
        for written in ["CAP_NET_ADMIN", "net_admin", "Net_Admin", "cap_net_admin"] {
            assert_eq!(capability(written).unwrap(), "CAP_NET_ADMIN");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_is_named() {
        for wrong in ["CAP_FLY", "", "CAP_", "ALL", "CAP_CAP_CHOWN", "CHOWN "] {
            let error = capability(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn what_this_kernel_has_not_is_left_out() {
        let asked = all(&[Capability::Chown, Capability::CheckpointRestore]);
        let of = LinuxCapabilitiesBuilder::default()
            .bounding(asked.clone())
            .permitted(asked.clone())
            .effective(asked.clone())
            .inheritable(asked.clone())
            .ambient(asked)
            .build()
            .unwrap();
        let old = Sets::known_to(37, &of).unwrap();
        assert_eq!(old, Sets { bounding: 1, effective: 1, inheritable: 1, permitted: 1, ambient: 1 });
        assert_eq!(Sets::known_to(40, &of).unwrap().bounding, 1 | 1 << 40);
        assert_eq!(Sets::known_to(63, &of).unwrap().bounding, 1 | 1 << 40);
    }

    #[test]
    fn an_effective_capability_that_is_not_permitted_is_named() {
        let of = |build: oci_spec::runtime::LinuxCapabilitiesBuilder| {
            Sets::of(&build.build().unwrap()).unwrap_err().to_string()
        };
        let none = || {
            LinuxCapabilitiesBuilder::default()
                .permitted(all(&[]))
                .effective(all(&[]))
                .inheritable(all(&[]))
                .ambient(all(&[]))
        };
        let error = of(none().effective(all(&[Capability::Kill])));
        assert!(error.contains("process.capabilities.effective: CAP_KILL"), "{error}");
    }

    #[test]
    fn only_what_is_permitted_and_inheritable_is_made_ambient() {
        let of = |permitted: &[Capability], inheritable: &[Capability]| {
            let build =
                LinuxCapabilitiesBuilder::default().permitted(all(permitted)).inheritable(all(inheritable));
            let build = build.effective(all(&[])).bounding(all(&[])).ambient(all(&[Capability::Kill]));
            Sets::of(&build.build().unwrap()).unwrap().ambient
        };
        let kill = [Capability::Kill];
        assert_eq!([of(&kill, &kill), of(&kill, &[]), of(&[], &kill)], [1 << 5, 0, 0]);
    }

    #[test]
    fn all_is_what_can_be_given() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
        let bounding = u64::from_str_radix(bounding, 16).unwrap();
        assert_eq!(kernel_capabilities().unwrap().join(", "), names(bounding));
    }

    fn status() -> String {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let sets = status.lines().filter_map(|line| line.strip_prefix("Cap")?.split_once(":\t"));
        sets.map(|(name, bits)| format!("{name} {:x}", u64::from_str_radix(bits, 16).unwrap()))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_kernel_has_the_sets_that_were_set_and_no_others() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "capabilities are set by root");
            return;
        }
        crate::sys::testing::alone(|| {
            let sets =
                Sets { bounding: 0x0f, effective: 0x03, inheritable: 0x05, permitted: 0x07, ambient: 0x04 };
            let had = crate::sys::testing::in_child(move || {
                // What was ambient before is not to stay.
                let mut all = thread::capabilities(None).unwrap();
                all.inheritable = CapabilitySet::CHOWN | CapabilitySet::FOWNER;
                thread::set_capabilities(None, all).unwrap();
                thread::configure_capability_in_ambient_set(CapabilitySet::CHOWN, true).unwrap();
                sets.drop_bounding().unwrap();
                sets.apply().unwrap();
                // Once more, without the right to drop: nothing is left to drop.
                sets.drop_bounding().unwrap();
                let set = status();
                let more = Sets { permitted: 0x0f, ..sets }.apply().unwrap_err();
                format!("{set} {more}")
            })
            .unwrap();
            assert!(
                had.starts_with("Inh 5 Prm 7 Eff 3 Bnd f Amb 4 process.capabilities: CAP_FOWNER: "),
                "{had}"
            );
        });
    }
}
