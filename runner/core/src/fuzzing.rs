//! For the fuzz targets in `runner/fuzz`: parsers of outside bytes that no public function leads to directly. Nobody else
//! should call this; it changes with what is behind it.

use oci_spec::runtime::{LinuxSeccomp, Spec};

use crate::{bundle, cgroup, features::sub_ids, rootfs, seccomp};

/// Reads a bundle's `config.json` and checks it.
pub fn bundle(bytes: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Spec>(bytes) else { return };
    if let Err(fault) = bundle::check(&spec) {
        let _text = fault.to_string();
    }
    if let Some(process) = spec.process() {
        let _fault = bundle::check_process(process);
    }
}

/// Compiles a profile of system calls; `None` for one that is refused.
///
/// # Panics
/// If the program is none that the kernel takes: too long, or with a way that leads out of it.
pub fn seccomp(profile: &LinuxSeccomp) -> Option<usize> {
    seccomp::checked_length(profile)
}

/// Reads files of control groups and of `/proc`.
pub fn groups(text: &str) {
    cgroup::fuzzing::files(text);
}

/// Reads answers of systemd.
pub fn bus(bytes: &[u8]) {
    cgroup::fuzzing::bus(bytes);
}

/// Reads `/etc/subuid` and `/etc/passwd`.
pub fn ranges(text: &str) {
    let _count = sub_ids::given(text, sub_ids::user_name(text, 1000), 1000);
}

/// Reads options of a mount, one after each comma.
///
/// # Panics
/// If the kernel would refuse them: an attribute that is switched on and off.
pub fn mount_options(text: &str) {
    rootfs::options_fuzzed(text);
}

/// Reads a cached filter of system calls.
///
/// # Panics
/// If one that was written is read otherwise, or read under another name.
pub fn cached_filter(bytes: &[u8]) {
    seccomp::cache_fuzzed(bytes);
}
