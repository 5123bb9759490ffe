//! `update`.

use std::{fs, io, path::PathBuf};

use berth_runtime::Container;
use clap::Args;
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use crate::error::{Result, RunnerError, While};

/// Its arguments: a file, or single limits.
#[derive(Args, Debug)]
pub(super) struct Update {
    /// File with resources of the specification; `-` is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["memory", "memory_reservation", "memory_swap",
        "cpu_quota", "cpu_period", "cpu_share", "cpuset_cpus", "cpuset_mems", "pids_limit"])]
    resources: Option<PathBuf>,
    /// Memory, bytes; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Memory to be left with when memory is short, bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_reservation: Option<i64>,
    /// Memory and swap together, bytes; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Processor time per period, microseconds; -1 is no limit
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Length of the period, microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Weight against others, 2 to 262144
    #[arg(long, value_name = "WEIGHT")]
    cpu_share: Option<u64>,
    /// Processors, `0-2,5`
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes, `0-1`
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Processes and threads; -1 is no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// The container
    pub(super) id: String,
}

/// Changes limits; what is not named stays.
pub(super) fn update(container: &Container, wanted: &Update) -> Result<u8> {
    let resources: LinuxResources = match &wanted.resources {
        Some(file) => {
            let text = if file.as_os_str() == "-" {
                let mut text = Vec::new();
                io::Read::read_to_end(&mut io::stdin(), &mut text).map(|_| text)
            } else {
                fs::read(file)
            };
            serde_json::from_slice(&text.doing("reading", file)?)
                .map_err(io::Error::from)
                .doing("reading", file)?
        }
        None => serde_json::from_slice(wanted.limits().to_string().as_bytes())
            .map_err(|error| RunnerError::Usage(error.to_string()))?,
    };
    Ok(container.update(&resources).map(|()| 0)?)
}

impl Update {
    fn limits(&self) -> Value {
        let part = |fields: [(&str, Option<Value>); 4]| {
            let named = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(named.collect::<Map<_, _>>())
        };
        let memory = part([
            ("limit", self.memory.map(Value::from)),
            ("reservation", self.memory_reservation.map(Value::from)),
            ("swap", self.memory_swap.map(Value::from)),
            ("kernel", None),
        ]);
        let mut cpu = part([
            ("quota", self.cpu_quota.map(Value::from)),
            ("period", self.cpu_period.map(Value::from)),
            ("shares", self.cpu_share.map(Value::from)),
            ("cpus", self.cpuset_cpus.clone().map(Value::from)),
        ]);
        if let Some(nodes) = &self.cpuset_mems {
            cpu["mems"] = json!(nodes);
        }
        let mut all = json!({"memory": memory, "cpu": cpu});
        if let Some(limit) = self.pids_limit {
            all["pids"] = json!({"limit": limit});
        }
        all
    }
}
