//! Architectures and the numbers that system calls have on them.

use std::collections::HashMap;

use oci_spec::runtime::Arch as Named;

use crate::RuntimeError;

/// An architecture whose calls can be filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Arch {
    X86_64,
    X86,
    /// 32-bit pointers on `x86_64`: its calls come as those of [`Arch::X86_64`] with bit 30 set.
    X32,
    Aarch64,
    Arm,
}

/// The bit of x32's calls.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// Where the calls begin that only 32-bit ARM has. They are above all others, whatever their age.
pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;

const TABLE: &str = include_str!("syscalls.tsv");

impl Arch {
    /// What this program runs on.
    ///
    /// # Errors
    /// Where no table of its calls is here.
    pub(super) fn native() -> Result<Self, RuntimeError> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::X86_64),
            "x86" => Ok(Self::X86),
            "aarch64" => Ok(Self::Aarch64),
            "arm" => Ok(Self::Arm),
            other => Err(RuntimeError::Unsupported {
                what: "linux.seccomp".into(),
                why: format!(
                    "the numbers of system calls on {other} are not known; they are for x86_64, x86, aarch64 and arm. \
                     Run without a filter only what is trusted"
                ),
            }),
        }
    }

    /// The architecture of a profile. `None` where a kernel of `native` never runs its calls, so that nothing has to
    /// be filtered.
    pub(super) fn of(named: Named, native: Self) -> Option<Self> {
        let arch = match named {
            Named::ScmpArchNative => native,
            Named::ScmpArchX86_64 => Self::X86_64,
            Named::ScmpArchX86 => Self::X86,
            Named::ScmpArchX32 => Self::X32,
            Named::ScmpArchAarch64 => Self::Aarch64,
            Named::ScmpArchArm => Self::Arm,
            _ => return None,
        };
        let beside: &[Self] = match native {
            Self::X86_64 | Self::X32 => &[Self::X86_64, Self::X86, Self::X32],
            Self::X86 => &[Self::X86],
            Self::Aarch64 => &[Self::Aarch64, Self::Arm],
            Self::Arm => &[Self::Arm],
        };
        beside.contains(&arch).then_some(arch)
    }

    /// `AUDIT_ARCH_...`, as the kernel tells it to the filter.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether arguments are 32 bits wide. The upper halves are no part of them then.
    pub(super) fn narrow(self) -> bool {
        match self {
            Self::X86 | Self::X32 | Self::Arm => true,
            Self::X86_64 | Self::Aarch64 => false,
        }
    }

    /// The calls of this architecture by name. Numbers of x32 have their bit.
    pub(super) fn calls(self) -> HashMap<&'static str, u32> {
        let (column, bit) = match self {
            Self::X86_64 => (1, 0),
            Self::X86 => (2, 0),
            Self::X32 => (3, X32_BIT),
            Self::Aarch64 => (4, 0),
            Self::Arm => (5, 0),
        };
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        rows.filter_map(|row| {
            let number = row.split('\t').nth(column)?.parse::<u32>().ok()?;
            Some((row.split('\t').next()?, number | bit))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let rows: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(rows.is_sorted(), "rows are sorted by name, so that none is there twice");
        for row in rows {
            let cells: Vec<_> = row.split('\t').collect();
            assert_eq!(cells.len(), 6, "{row}");
            assert!(cells[1..].iter().all(|cell| *cell == "-" || cell.parse::<u32>().is_ok()), "{row}");
        }
        for arch in [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm] {
            let calls = arch.calls();
            assert!(calls.len() > 300, "{arch:?}");
            let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
            // From 424 on all architectures share their numbers.
            assert_eq!(calls["file_setattr"], 469 | bit, "{arch:?}");
            assert_eq!(calls["clone3"], 435 | bit, "{arch:?}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_table_agrees_with_the_c_library() {
        let calls = Arch::X86_64.calls();
        for (name, number) in [
            ("read", libc::SYS_read),
            ("clone", libc::SYS_clone),
            ("mount", libc::SYS_mount),
            ("seccomp", libc::SYS_seccomp),
            ("openat2", libc::SYS_openat2),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("mseal", libc::SYS_mseal),
        ] {
            assert_eq!(i64::from(calls[name]), number, "{name}");
        }
    }
}
