//! Paths of the kernel's filesystems that a container does not see, or does not write.

use std::{fs, path::Path};

use crate::record::Security;

/// Nothing of these is seen: they tell of the machine, or of other containers, or change it.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Nothing of these is written.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Throttling of each processor: it tells how warm the neighbours work.
fn thermal(cpus: &Path) -> Vec<String> {
    let entries = fs::read_dir(cpus).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("thermal_throttle").is_dir())
        .filter_map(|path| {
            Some(format!("/sys/devices/system/cpu/{}/thermal_throttle", path.file_name()?.to_str()?))
        })
        .collect();
    found.sort();
    found
}

/// Masked and read-only paths of a container.
pub(super) fn of(security: &Security) -> (Vec<String>, Vec<String>) {
    if security.privileged {
        return (Vec::new(), Vec::new());
    }
    let mut masked: Vec<String> = MASKED.iter().map(|path| (*path).to_owned()).collect();
    masked.extend(thermal(Path::new("/sys/devices/system/cpu")));
    // `unmask=/proc/*` of podman: a pattern whose last part is a star.
    let lifted = |path: &String| {
        security.unmasked.iter().any(|unmasked| {
            let text = unmasked.to_string_lossy();
            text == "/"
                || text == path.as_str()
                || text.strip_suffix('*').is_some_and(|stem| path.starts_with(stem))
        })
    };
    masked.retain(|path| !lifted(path));
    let mut read_only: Vec<String> = READ_ONLY.iter().map(|path| (*path).to_owned()).collect();
    read_only.retain(|path| !lifted(path));
    masked.extend(security.masked.iter().map(|path| path.to_string_lossy().into_owned()));
    (masked, read_only)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::desired;

    #[test]
    fn masks_are_added_and_lifted_by_path_by_pattern_and_altogether() {
        let mut security = desired("web", 1).security;
        let (masked, read_only) = of(&security);
        assert!(masked.len() >= 12 && masked.contains(&"/proc/interrupts".to_owned()), "{masked:?}");
        assert_eq!(read_only.len(), 5);
        security.masked = vec!["/proc/secret".into()];
        security.unmasked = vec!["/proc/kcore".into(), "/proc/s*".into()];
        let (masked, read_only) = of(&security);
        for gone in ["/proc/kcore", "/proc/scsi", "/proc/sched_debug"] {
            assert!(!masked.contains(&gone.to_owned()), "{gone}");
        }
        assert!(masked.contains(&"/proc/secret".to_owned()) && masked.contains(&"/proc/keys".to_owned()));
        assert_eq!(read_only, ["/proc/bus", "/proc/fs", "/proc/irq"]);
        security.unmasked = vec!["/".into()];
        security.masked.clear();
        assert_eq!(of(&security), (Vec::new(), Vec::new()));
        security.unmasked.clear();
        security.privileged = true;
        assert_eq!(of(&security), (Vec::new(), Vec::new()));
    }

    #[test]
    fn each_processor_with_a_thermometer_is_masked() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["cpu0/thermal_throttle", "cpu1/thermal_throttle", "cpu2", "cpufreq"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let wanted = ["cpu0", "cpu1"].map(|cpu| format!("/sys/devices/system/cpu/{cpu}/thermal_throttle"));
        assert_eq!(thermal(folder.path()), wanted);
    }
}
