//! `update`: other limits, now and for later starts, and what comes after the end.

use clap::Args;

use super::{Globals, container_flags::restart_policy, output};
use crate::{
    bundle,
    error::{Result, RunnerError},
    record::{Limits, RestartPolicy, parse},
    supervisor::{claim::Turn, engine::Engine, events, live::snapshot},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The container
    container: String,

    /// Memory, like 64m
    #[arg(long, short, value_name = "BYTES")]
    memory: Option<String>,

    /// Memory and swap together; -1 is no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    memory_swap: Option<String>,

    /// Memory that it is held to while the machine has little
    #[arg(long, value_name = "BYTES")]
    memory_reservation: Option<String>,

    /// 0 to 100
    #[arg(long, value_name = "NUMBER")]
    memory_swappiness: Option<u64>,

    /// Processors, like 0.5
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<f64>,

    /// Share beside others
    #[arg(long, short, value_name = "NUMBER")]
    cpu_shares: Option<u64>,

    /// Which processors, like 0-3,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,

    /// Which memory nodes
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,

    /// Processes and threads; -1 is no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,

    /// Weight of block devices, 10 to 1000
    #[arg(long, value_name = "NUMBER")]
    blkio_weight: Option<u16>,

    /// When it ends: no, on-failure[:TIMES], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
}

fn change(arguments: &Arguments, limits: &mut Limits) -> Result<bool> {
    let bytes = |flag: &str, text: &str| {
        parse::bytes(text).map_err(|rule| RunnerError::Usage(format!("--{flag}: {rule}")))
    };
    let before = limits.clone();
    if let Some(text) = &arguments.memory {
        limits.memory = Some(bytes("memory", text)?).filter(|bytes| *bytes > 0);
    }
    match arguments.memory_swap.as_deref() {
        None => {}
        Some("-1") => limits.memory_swap = Some(-1),
        Some(text) => {
            let bytes = i64::try_from(bytes("memory-swap", text)?);
            limits.memory_swap = Some(
                bytes.map_err(|_| RunnerError::Usage("--memory-swap is more than any machine has".into()))?,
            );
        }
    }
    if let Some(text) = &arguments.memory_reservation {
        limits.memory_reservation = Some(bytes("memory-reservation", text)?);
    }
    if let Some(cpus) = arguments.cpus {
        if !(0.001..=100_000.0).contains(&cpus) {
            return Err(RunnerError::Usage(format!("--cpus {cpus}: a number of processors from 0.001 on")));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
        let milli = (cpus * 1000.0).round() as u64;
        limits.cpu_milli = Some(milli);
    }
    limits.memory_swappiness = arguments.memory_swappiness.or(limits.memory_swappiness);
    limits.cpu_shares = arguments.cpu_shares.or(limits.cpu_shares);
    limits.cpuset_cpus = arguments.cpuset_cpus.clone().or(limits.cpuset_cpus.take());
    limits.cpuset_mems = arguments.cpuset_mems.clone().or(limits.cpuset_mems.take());
    limits.pids = arguments.pids_limit.or(limits.pids);
    limits.blkio_weight = arguments.blkio_weight.or(limits.blkio_weight);
    Ok(*limits != before)
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let id = context.records.find(&arguments.container)?.id;
    let _turn = Turn::take(&context.folders, &id)?;
    let mut desired = context.records.find(id.as_str())?;
    let policy = match arguments.restart.as_deref().map(restart_policy) {
        None => desired.restart,
        Some(Ok(policy)) => policy,
        Some(Err(rule)) => return Err(RunnerError::Usage(format!("--restart: {rule}"))),
    };
    if desired.auto_remove && policy != RestartPolicy::No {
        return Err(RunnerError::Usage(format!(
            "--restart: container {} is removed when it ends (--rm), which contradicts it",
            desired.name
        )));
    }
    let other_policy = std::mem::replace(&mut desired.restart, policy) != policy;
    let other_limits = change(arguments, &mut desired.limits)?;
    if other_limits || other_policy {
        let resources = bundle::resources(&desired)?;
        // First where it may be refused: what is on record is what holds.
        if other_limits && snapshot(&context.records, &desired)?.condition.is_up() {
            Engine::of(&context.folders, &desired).update(&id, &resources)?;
        }
        context.records.replace(&desired)?;
        events::note(&context.folders, &desired, "update");
    }
    output::line(id.as_str())?;
    Ok(0)
}
