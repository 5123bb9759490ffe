//! What is printed about containers, and about this runtime.

use std::{
    io,
    process::Command,
    time::{Duration, SystemTime},
};

use berth_runtime::{Container, Runtime, RuntimeError, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use super::{
    arguments::{Events, Format, List, Ps},
    print,
};
use crate::error::{Result, RunnerError, While};

fn time(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| time.to_string())
}

/// The state of the specification, with runc's additions: `rootfs`, `created`, `owner`; the status `paused`; the
/// process id 0 of what ended.
fn described(container: &Container) -> Result<Value> {
    let state = container.state()?;
    let mut value = serde_json::to_value(&state).map_err(io::Error::from).doing("writing", "the state")?;
    value["pid"] = json!(state.pid().unwrap_or(0));
    value["status"] = json!(container.status()?.to_string());
    if let Some(details) = container.details()? {
        value["rootfs"] = json!(details.rootfs);
        value["created"] = json!(time(details.created));
        value["owner"] = json!(details.owner.to_string());
    }
    Ok(value)
}

/// `state`.
pub(super) fn state(container: &Container) -> Result<u8> {
    print(&format!("{:#}", described(container)?))
}

/// `list`.
pub(super) fn list(runtime: &Runtime, wanted: &List) -> Result<u8> {
    let mut rows = Vec::new();
    for container in runtime.list()? {
        match described(&container) {
            Ok(value) => rows.push(value),
            // It was deleted since the folder was read.
            Err(RunnerError::Runtime(RuntimeError::NotFound(_))) => {}
            Err(error) => return Err(error),
        }
    }
    let text = |row: &Value, name: &str| match &row[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    if wanted.quiet {
        return rows.iter().try_fold(0, |_, row| print(&text(row, "id")));
    }
    if wanted.format == Format::Json {
        return print(&Value::Array(rows).to_string());
    }
    let columns = ["id", "pid", "status", "bundle", "created", "owner"];
    let mut lines = vec![columns.map(str::to_uppercase)];
    lines.extend(rows.iter().map(|row| columns.map(|column| text(row, column))));
    let widths: Vec<usize> =
        (0..columns.len()).map(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0)).collect();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        print(cells.join("  ").trim_end())?;
    }
    Ok(0)
}

/// `ps`: the lines of ps that are the container's processes.
pub(super) fn ps(container: &Container, wanted: &Ps) -> Result<u8> {
    let processes = container.processes()?;
    if wanted.format == Format::Json {
        return print(&json!(processes).to_string());
    }
    let options = if wanted.options.is_empty() { vec!["-ef".to_owned()] } else { wanted.options.clone() };
    let output = Command::new("ps").args(&options).output().doing("running", "ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(RunnerError::Usage(format!("ps {}: {said}", options.join(" "))));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let column = title.split_whitespace().position(|name| name == "PID").ok_or_else(|| {
        RunnerError::Usage(format!(
            "ps {}: prints no column PID, by which processes are known",
            options.join(" ")
        ))
    })?;
    print(title)?;
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid: i32| processes.contains(&pid)) {
            print(line)?;
        }
    }
    Ok(0)
}

fn stats(container: &Container) -> Result<Value> {
    let stats = container.stats()?;
    let limit = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    let nanoseconds = |microseconds: u64| microseconds.saturating_mul(1000);
    let operation = |name: &str, bytes: u64| json!({"op": name, "value": bytes});
    Ok(json!({"type": "stats", "id": container.id().as_str(), "data": {
        "cpu": {
            "usage": {
                "total": nanoseconds(stats.cpu_usec),
                "user": nanoseconds(stats.cpu_user_usec),
                "kernel": nanoseconds(stats.cpu_system_usec),
            },
            "throttling": {"throttledPeriods": stats.cpu_throttled_periods},
        },
        "memory": {"usage": {
            "usage": stats.memory_bytes,
            "limit": limit(stats.memory_limit_bytes),
            "max": stats.memory_peak_bytes.unwrap_or(0),
        }},
        "pids": {"current": stats.pids, "limit": stats.pids_limit.unwrap_or(0)},
        "blkio": {"ioServiceBytesRecursive": [
            operation("Read", stats.read_bytes),
            operation("Write", stats.write_bytes),
        ]},
    }}))
}

/// `events`, until the container ends.
pub(super) fn events(container: &Container, wanted: &Events) -> Result<u8> {
    let interval = crate::record::parse::milliseconds(&wanted.interval)
        .map_err(|error| RunnerError::Usage(format!("events: --interval: {error}")))?;
    if wanted.stats {
        return print(&stats(container)?.to_string());
    }
    let watched = container.oom_events()?;
    loop {
        match container.status() {
            Ok(Status::Stopped) | Err(RuntimeError::NotFound(_)) => return Ok(0),
            other => other?,
        };
        match stats(container) {
            Ok(value) => print(&value.to_string())?,
            // It ended since it was asked.
            Err(RunnerError::Runtime(RuntimeError::NotFound(_) | RuntimeError::Step { .. }))
                if !matches!(container.status(), Ok(Status::Running | Status::Paused | Status::Created)) =>
            {
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let wait = Timespec::try_from(Duration::from_millis(interval))
            .map_err(|error| RunnerError::Usage(format!("events: --interval: {error}")))?;
        let mut fds: Vec<PollFd<'_>> =
            watched.iter().map(|fd| PollFd::new(fd, PollFlags::IN | PollFlags::PRI)).collect();
        match poll(&mut fds, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => {
                if let Some(fd) = &watched {
                    // Takes the notice, or it would be told for ever.
                    let _count = rustix::io::read(fd, &mut [0; 64]);
                }
                print(&json!({"type": "oom", "id": container.id().as_str()}).to_string())?;
            }
            Err(error) => {
                return Err(RunnerError::Io { what: "waiting for events".into(), source: error.into() });
            }
        }
    }
}
