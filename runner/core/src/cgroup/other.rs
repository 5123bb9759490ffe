//! Limits of processes, huge pages, network classes and RDMA, and files named by the caller.

use std::collections::HashMap;

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxPids, LinuxRdma};

use super::{Cgroup, file, limits::Home};
use crate::RuntimeError;

fn spec(field: String, rule: String) -> RuntimeError {
    RuntimeError::Spec { field, rule }
}

/// 0 and below is no limit.
pub(super) fn pids(group: &Cgroup, pids: LinuxPids) -> Result<(), RuntimeError> {
    let limit = pids.limit();
    if limit <= 0 {
        return match group.home("pids", "pids")? {
            None => Ok(()),
            Some(Home::V1(folder) | Home::V2(folder)) => file::write(&folder.join("pids.max"), "max"),
        };
    }
    let (Home::V1(folder) | Home::V2(folder)) = group.needed("pids", "pids", "linux.resources.pids.limit")?;
    file::write(&folder.join("pids.max"), &limit.to_string())
}

pub(super) fn hugepages(group: &Cgroup, limits: &[LinuxHugepageLimit]) -> Result<(), RuntimeError> {
    for limit in limits {
        let field = "linux.resources.hugepageLimits";
        let size = limit.page_size();
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(spec(field.into(), format!("{size:?} is no page size: write it as 2MB or 1GB")));
        }
        let (folder, ending) = match group.needed("hugetlb", "hugetlb", field)? {
            Home::V1(folder) => (folder, "limit_in_bytes"),
            Home::V2(folder) => (folder, "max"),
        };
        let value = match limit.limit() {
            ..0 if ending == "max" => "max".to_owned(),
            value => value.to_string(),
        };
        let used = folder.join(format!("hugetlb.{size}.{ending}"));
        if !used.exists() {
            let sizes = format!("this machine has no huge pages of {size}: see /sys/kernel/mm/hugepages");
            return Err(spec(field.into(), sizes));
        }
        file::write(&used, &value)?;
        // Reservations are what a program is refused instead of being killed at its first touch (Linux 5.7).
        let reserved = folder.join(format!("hugetlb.{size}.rsvd.{ending}"));
        if reserved.exists() {
            file::write(&reserved, &value)?;
        }
    }
    Ok(())
}

/// Only version 1 has these controllers.
pub(super) fn network(group: &Cgroup, network: &LinuxNetwork) -> Result<(), RuntimeError> {
    let v1 = |controller: &str, field: &str| match group.home(controller, "")? {
        Some(Home::V1(folder)) => Ok(folder),
        _ => Err(RuntimeError::Unsupported {
            what: format!("linux.resources.network.{field}"),
            why: format!(
                "the controller {controller} of version 1 is not mounted, and version 2 has none: leave it out, and \
                 shape by nftables"
            ),
        }),
    };
    if let Some(class) = network.class_id() {
        file::write(&v1("net_cls", "classID")?.join("net_cls.classid"), &class.to_string())?;
    }
    for priority in network.priorities().iter().flatten() {
        let line = format!("{} {}", priority.name(), priority.priority());
        file::write(&v1("net_prio", "priorities")?.join("net_prio.ifpriomap"), &line)?;
    }
    Ok(())
}

pub(super) fn rdma(group: &Cgroup, limits: &HashMap<String, LinuxRdma>) -> Result<(), RuntimeError> {
    for (device, limit) in limits {
        let (Home::V1(folder) | Home::V2(folder)) = group.needed("rdma", "rdma", "linux.resources.rdma")?;
        let mut line = device.clone();
        for (key, value) in [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())] {
            if let Some(value) = value {
                line += &format!(" {key}={value}");
            }
        }
        file::write(&folder.join("rdma.max"), &line)?;
    }
    Ok(())
}

/// Files of the group itself that would move or end processes, or take its controllers away.
const NOT_LIMITS: [&str; 5] =
    ["cgroup.procs", "cgroup.threads", "cgroup.type", "cgroup.kill", "cgroup.subtree_control"];

/// Files of version 2 by their names.
pub(super) fn unified(group: &Cgroup, files: &HashMap<String, String>) -> Result<(), RuntimeError> {
    // A map has no order, and errors are to be the same each time.
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    for (key, value) in files {
        let field = format!("linux.resources.unified[{key:?}]");
        let controller = match key.split_once('.') {
            Some((controller, rest)) if !controller.is_empty() && !rest.is_empty() => controller,
            _ => return Err(spec(field, "a key is the name of a control file, such as memory.high".into())),
        };
        if key.contains('/') || key.contains("..") || key.contains('\0') {
            return Err(spec(
                field,
                "a key is a file of the container's own group: it has no / and no ..".into(),
            ));
        }
        if NOT_LIMITS.contains(&key.as_str()) {
            return Err(spec(field, "this file is no limit and is not to be set".into()));
        }
        let folder = match controller {
            "cgroup" => group.unified_folder().ok_or_else(|| RuntimeError::Unsupported {
                what: field.clone(),
                why: "control groups of version 2 are not mounted writable: mount them, or leave it out"
                    .into(),
            })?,
            // Only version 2 is meant: a controller of version 1 has other files.
            _ => match group.needed(&format!("{controller} of version 2"), controller, &field)? {
                Home::V1(folder) | Home::V2(folder) => folder,
            },
        };
        let path = folder.join(key);
        if !path.exists() {
            return Err(RuntimeError::Unsupported {
                what: field,
                why: format!("{} has no such file on this kernel: leave it out", folder.display()),
            });
        }
        // Files with a line per device take one line at a time.
        for line in value.lines() {
            file::write(&path, line)?;
        }
    }
    Ok(())
}
