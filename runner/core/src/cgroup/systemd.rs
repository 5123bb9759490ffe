//! Groups made by systemd: a transient scope, asked for over the manager's own socket.
//!
//! A scope begins with its first process, so what is asked for is kept until that is there. Beside a unified tree,
//! systemd makes only its own hierarchy's folder; the folders of version 1 are ours, at the same place.

use std::{
    io,
    path::{Path, PathBuf},
};

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use super::{
    cpu::weight,
    dbus::{Connection, Method, Writer},
};
use crate::{During, RuntimeError};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// A unit of type scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scope {
    pub(super) unit: String,
    pub(super) slice: String,
    /// The manager's socket.
    pub(super) socket: PathBuf,
}

fn wrong(rule: String) -> RuntimeError {
    RuntimeError::Spec { field: "linux.cgroupsPath".into(), rule }
}

impl Scope {
    /// The scope of `linux.cgroupsPath`, which is `slice:prefix:name` with systemd.
    pub(super) fn of(path: Option<&Path>, id: &str, root: &Path) -> Result<Self, RuntimeError> {
        let privileged = rustix::process::geteuid().is_root();
        let socket = if privileged {
            root.join("run/systemd/private")
        } else {
            let folder = std::env::var_os("XDG_RUNTIME_DIR").ok_or_else(|| RuntimeError::Unsupported {
                what: "control groups by systemd".into(),
                why: "XDG_RUNTIME_DIR is not set, so there is no session of this user with systemd: log in with one, \
                      or let groups be made by folder"
                    .into(),
            })?;
            PathBuf::from(folder).join("systemd/private")
        };
        let text = path.and_then(Path::to_str).unwrap_or_default();
        let (slice, prefix, name) = match text.split(':').collect::<Vec<_>>()[..] {
            [""] => ("", "", ""),
            [slice, prefix, name] => (slice, prefix, name),
            _ => return Err(wrong(format!("{text:?}: with systemd it is slice:prefix:name"))),
        };
        let slice = match slice {
            "" if privileged => "system.slice",
            "" => "user.slice",
            slice => slice,
        };
        let (prefix, name) =
            (if text.is_empty() { "berth" } else { prefix }, if name.is_empty() { id } else { name });
        let unit = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        let scope = Self { unit: escaped(&unit), slice: slice.to_owned(), socket };
        scope.folder()?;
        Ok(scope)
    }

    /// Its folder below the manager's group: a slice lies in the slices that its name begins with.
    pub(super) fn folder(&self) -> Result<PathBuf, RuntimeError> {
        let mut folder = PathBuf::new();
        let bad =
            || wrong(format!("{:?} is no slice: write system.slice, machine.slice or a-b.slice", self.slice));
        let name = self.slice.strip_suffix(".slice").ok_or_else(bad)?;
        if name != "-" {
            let mut whole = String::new();
            for part in name.split('-') {
                if part.is_empty() || part.contains('/') {
                    return Err(bad());
                }
                if !whole.is_empty() {
                    whole.push('-');
                }
                whole.push_str(part);
                folder.push(format!("{whole}.slice"));
            }
        }
        folder.push(&self.unit);
        Ok(folder)
    }

    fn connect(&self) -> Result<Connection, RuntimeError> {
        Connection::open(&self.socket).map_err(|error| RuntimeError::Unsupported {
            what: "control groups by systemd".into(),
            why: format!(
                "{}: {error}. Where systemd does not run, let groups be made by folder",
                self.socket.display()
            ),
        })
    }

    /// The manager's own group: empty for the machine's, the user's service for a user's.
    pub(super) fn manager_group(&self) -> Result<PathBuf, RuntimeError> {
        let get = Method { interface: "org.freedesktop.DBus.Properties", name: "Get", signature: "ss" };
        let ask = |connection: &mut Connection| {
            let mut arguments = Writer::default();
            arguments.string(MANAGER)?;
            arguments.string("ControlGroup")?;
            connection.call(get, &arguments, &mut Vec::new())
        };
        let values = ask(&mut self.connect()?).during(|| "asking systemd for its control group".into())?;
        Ok(PathBuf::from(values.first().map_or("", |group| group.trim_start_matches('/'))))
    }

    /// Starts the scope with its first process and waits until it is.
    pub(super) fn start(&self, pid: u32, resources: Option<&LinuxResources>) -> Result<(), RuntimeError> {
        let step = || format!("starting {} by systemd", self.unit);
        let mut connection = self.connect()?;
        let mut arguments = Writer::default();
        let write = |arguments: &mut Writer| -> io::Result<()> {
            arguments.string(&self.unit)?;
            arguments.string("fail")?;
            arguments.array(8, |properties| {
                property(properties, "Description", Value::Text("a container of berth-runner"))?;
                property(properties, "Slice", Value::Text(&self.slice))?;
                property(properties, "PIDs", Value::Numbers(&[pid]))?;
                // The groups below it are the container's.
                property(properties, "Delegate", Value::Switch(true))?;
                property(properties, "DefaultDependencies", Value::Switch(false))?;
                // Gone when its last process is, also when that failed.
                property(properties, "CollectMode", Value::Text("inactive-or-failed"))?;
                limits(properties, resources)
            })?;
            arguments.array(8, |_| Ok(()))
        };
        let call = Method { interface: MANAGER, name: "StartTransientUnit", signature: "ssa(sv)a(sa(sv))" };
        let mut heard = Vec::new();
        write(&mut arguments).during(step)?;
        let answer = connection.call(call, &arguments, &mut heard).during(step)?;
        let job = answer.first().cloned().unwrap_or_default();
        let mut heard = heard.into_iter();
        loop {
            // (id, job, unit, result)
            let removed = match heard.next() {
                Some(removed) => removed,
                None => connection.job_removed().during(step)?,
            };
            match &removed[..] {
                [_, of, _, result] if *of == job => {
                    return if result == "done" {
                        Ok(())
                    } else {
                        Err(io::Error::other(format!("the job ended as {result:?}"))).during(step)
                    };
                }
                _ => {}
            }
        }
    }

    /// Tells systemd of changed limits, or it would write its own again when it is reloaded.
    pub(super) fn update(&self, resources: &LinuxResources) -> Result<(), RuntimeError> {
        let step = || format!("changing {} by systemd", self.unit);
        let mut arguments = Writer::default();
        let write = |arguments: &mut Writer| -> io::Result<()> {
            arguments.string(&self.unit)?;
            arguments.u32(1);
            arguments.array(8, |properties| limits(properties, Some(resources)))
        };
        write(&mut arguments).during(step)?;
        let call = Method { interface: MANAGER, name: "SetUnitProperties", signature: "sba(sv)" };
        self.connect()?.call(call, &arguments, &mut Vec::new()).during(step).map(drop)
    }
}

/// What unit names cannot have.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'-' | b'_' | b'.' => escaped.push(byte.into()),
            other => escaped.push_str(&format!("\\x{other:02x}")),
        }
    }
    escaped
}

/// Values of properties.
enum Value<'a> {
    Text(&'a str),
    Switch(bool),
    Number(u64),
    Numbers(&'a [u32]),
}

fn property(properties: &mut Writer, name: &str, value: Value<'_>) -> io::Result<()> {
    properties.structure();
    properties.string(name)?;
    match value {
        Value::Text(text) => {
            properties.signature("s")?;
            properties.string(text)
        }
        Value::Switch(on) => {
            properties.signature("b")?;
            properties.u32(on.into());
            Ok(())
        }
        Value::Number(number) => {
            properties.signature("t")?;
            properties.u64(number);
            Ok(())
        }
        Value::Numbers(numbers) => {
            properties.signature("au")?;
            properties.array(4, |array| {
                numbers.iter().for_each(|number| array.u32(*number));
                Ok(())
            })
        }
    }
}

/// The limits that systemd has words for. All are written to the group's files besides, by the same rules as without
/// systemd; these keep systemd from taking them back.
fn limits(properties: &mut Writer, resources: Option<&LinuxResources>) -> io::Result<()> {
    let Some(resources) = resources else { return Ok(()) };
    let bytes = |value: Option<i64>| {
        value.filter(|value| *value != 0).map(|value| u64::try_from(value).unwrap_or(u64::MAX))
    };
    if let Some(memory) = resources.memory() {
        let limit = bytes(memory.limit());
        let swap = match (bytes(memory.swap()), limit) {
            (Some(u64::MAX), _) => Some(u64::MAX),
            (Some(both), Some(limit)) => Some(both.saturating_sub(limit)),
            _ => None,
        };
        for (name, value) in
            [("MemoryMax", limit), ("MemorySwapMax", swap), ("MemoryLow", bytes(memory.reservation()))]
        {
            if let Some(value) = value {
                property(properties, name, Value::Number(value))?;
            }
        }
    }
    if let Some(pids) = resources.pids() {
        let limit = u64::try_from(pids.limit()).ok().filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        property(properties, "TasksMax", Value::Number(limit))?;
    }
    if let Some(cpu) = resources.cpu() {
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
            property(properties, "CPUWeight", Value::Number(weight(shares)))?;
        }
        if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
            let period = cpu.period().filter(|period| *period != 0).unwrap_or(100_000);
            let per_second = match u64::try_from(quota) {
                Ok(quota) => quota.saturating_mul(1_000_000) / period,
                Err(_) => u64::MAX,
            };
            property(properties, "CPUQuotaPerSecUSec", Value::Number(per_second))?;
            property(properties, "CPUQuotaPeriodUSec", Value::Number(period))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "systemd_tests.rs"]
mod tests;
