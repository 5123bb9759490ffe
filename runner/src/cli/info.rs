//! `info`: the machine, the store and this program, with podman's names.

use std::{fs, path::PathBuf};

use berth_runtime::Features;
use clap::Args;
use serde::Serialize;

use super::{Context, Globals, output};
use crate::{
    error::{Result, While},
    rootless,
    supervisor::live::{Condition, snapshot},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// `json`, or a Go template like '{{.Host.Security.Rootless}}'
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    host: Host,
    store: Store,
    version: Version,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Host {
    arch: &'static str,
    os: &'static str,
    hostname: String,
    kernel: String,
    #[serde(rename = "CPUs")]
    cpus: usize,
    mem_total: u64,
    cgroup_version: &'static str,
    cgroup_controllers: Vec<String>,
    security: Security,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Security {
    rootless: bool,
    #[serde(rename = "SECCOMPEnabled")]
    seccomp_enabled: bool,
    #[serde(rename = "AppArmorEnabled")]
    apparmor_enabled: bool,
    #[serde(rename = "SELinuxEnabled")]
    selinux_enabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Store {
    graph_driver_name: &'static str,
    graph_root: PathBuf,
    run_root: PathBuf,
    volume_path: PathBuf,
    image_store: Images,
    container_store: Containers,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    number: usize,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Containers {
    number: usize,
    running: usize,
    paused: usize,
    stopped: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: &'static str,
    os_arch: String,
}

/// As images name their platform.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// `linux/amd64`.
pub(super) fn os_arch() -> String {
    format!("{}/{}", std::env::consts::OS, arch())
}

/// Bytes of memory, by `/proc/meminfo`.
pub(super) fn memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

fn containers(context: &Context) -> Result<Containers> {
    let (all, _damaged) = context.records.all()?;
    let mut counted = Containers { number: all.len(), ..Containers::default() };
    for desired in &all {
        match snapshot(&context.records, desired)?.condition {
            Condition::Running | Condition::Stopping | Condition::Restarting => counted.running += 1,
            Condition::Paused => counted.paused += 1,
            Condition::Created | Condition::Stopped | Condition::Exited => counted.stopped += 1,
        }
    }
    Ok(counted)
}

fn info(globals: &Globals) -> Result<Info> {
    // As the user has it, so before that user's namespace is entered.
    let features = Features::probe(std::path::Path::new("/")).doing("reading", "/proc")?;
    let context = globals.open()?;
    let proc = |name: &str| fs::read_to_string(name).doing("reading", name);
    let folders = &context.folders;
    Ok(Info {
        host: Host {
            arch: arch(),
            os: std::env::consts::OS,
            hostname: proc("/proc/sys/kernel/hostname")?.trim().to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            mem_total: memory(&proc("/proc/meminfo")?),
            cgroup_version: match features.cgroups {
                berth_runtime::CgroupVersion::V2 => "v2",
                berth_runtime::CgroupVersion::V1 | berth_runtime::CgroupVersion::Hybrid => "v1",
                berth_runtime::CgroupVersion::Absent => "",
            },
            cgroup_controllers: features
                .limits
                .iter()
                .filter(|one| one.writable)
                .map(|one| one.name.clone())
                .collect(),
            security: Security {
                rootless: rootless::real_uid() != 0,
                seccomp_enabled: features.seccomp,
                apparmor_enabled: features.apparmor,
                selinux_enabled: features.selinux,
            },
            kernel: features.kernel,
        },
        store: Store {
            graph_driver_name: "overlay",
            graph_root: folders.store.clone(),
            run_root: folders.run.clone(),
            volume_path: folders.volumes(),
            image_store: Images { number: context.store.images()?.len() },
            container_store: containers(&context)?,
        },
        version: Version { version: env!("CARGO_PKG_VERSION"), os_arch: os_arch() },
    })
}

/// JSON without its braces and quotes: `key: value`, indented.
fn told(value: &serde_json::Value, depth: usize, text: &mut String) {
    let serde_json::Value::Object(map) = value else { return };
    for (key, value) in map {
        text.extend(std::iter::repeat_n("  ", depth));
        text.push_str(key);
        text.push(':');
        let shown = match value {
            serde_json::Value::Object(_) => {
                text.push('\n');
                told(value, depth + 1, text);
                continue;
            }
            serde_json::Value::Array(all) => {
                all.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" ")
            }
            serde_json::Value::String(shown) => shown.clone(),
            other => other.to_string(),
        };
        text.push(' ');
        text.push_str(&shown);
        text.push('\n');
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let info = info(globals)?;
    match arguments.format.as_deref() {
        None => {
            let value = serde_json::to_value(&info)
                .map_err(|error| crate::error::RunnerError::Content(error.to_string()))?;
            let mut text = String::new();
            told(&value, 0, &mut text);
            output::raw(text.as_bytes())?;
        }
        Some(format) if output::is_json(format) => output::json(&info)?,
        Some(format) => output::raw(output::render(format, &output::value(&info)?)?.as_bytes())?,
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kibibytes() {
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:       2048 kB\n"), 2 << 20);
        assert_eq!(memory(""), 0);
    }

    #[test]
    fn values_are_told_by_their_names() {
        let mut text = String::new();
        told(&serde_json::json!({"A": {"B": true, "C": ["x", "y"]}, "D": "z"}), 0, &mut text);
        assert_eq!(text, "A:\n  B: true\n  C: x y\nD: z\n");
    }
}
