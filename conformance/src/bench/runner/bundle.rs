//! A bundle that every runtime takes: busybox, runc's own defaults, and a filter of system calls.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::engine::busybox;
use crate::harness::{HarnessError, Result};

/// Writes it.
pub(super) fn write(folder: &Path) -> Result<()> {
    let root = folder.join("rootfs");
    busybox(&root)?;
    let mounts = [
        ("/proc", "proc", "proc", vec!["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", "tmpfs", vec!["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        ),
        ("/dev/shm", "tmpfs", "shm", vec!["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        ("/sys", "sysfs", "sysfs", vec!["nosuid", "noexec", "nodev", "ro"]),
    ];
    let mount = |(at, kind, source, options): (&str, &str, &str, Vec<&str>)| json!({"destination": at, "type": kind, "source": source, "options": options});
    let capabilities = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]);
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/", "env": ["PATH=/bin"],
            "noNewPrivileges": true,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "bench",
        "mounts": mounts.map(mount),
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "seccomp": filter()?,
        },
    });
    let path = folder.join("config.json");
    fs::write(&path, config.to_string()).map_err(HarnessError::file(&path))
}

/// What podman's own profile allows without conditions.
fn filter() -> Result<Value> {
    let path = Path::new("/usr/share/containers/seccomp.json");
    let mut names = Vec::new();
    if path.exists() {
        let text = fs::read_to_string(path).map_err(HarnessError::file(path))?;
        let profile: Value = serde_json::from_str(&text)
            .map_err(|error| HarnessError::Unexpected(format!("{path:?}: {error}")))?;
        let rules = profile["syscalls"].as_array().cloned().unwrap_or_default();
        let plain = |rule: &&Value| {
            let none = |key: &str| {
                rule[key].as_array().is_none_or(Vec::is_empty)
                    && rule[key].as_object().is_none_or(|o| o.is_empty())
            };
            rule["action"] == "SCMP_ACT_ALLOW" && ["args", "includes", "excludes"].into_iter().all(none)
        };
        let allowed = rules.iter().filter(plain).filter_map(|rule| rule["names"].as_array());
        names.extend(allowed.flatten().cloned());
    }
    if names.is_empty() {
        return Err(HarnessError::Unexpected(format!("{} allows nothing: install podman", path.display())));
    }
    // Podman allows it where the machine is of this kind, and no program starts there without it.
    names.push(json!("arch_prctl"));
    Ok(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }))
}
