//! What it may use.

use clap::{ArgAction, Args};

use super::switch;
use crate::record::{
    Desired,
    parse::{self, Faults, Parsed},
};

/// /dev/shm of every container unless another size is asked for, bytes.
const SHM: u64 = 64 << 20;

/// Flags of limits.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitFlags {
    /// Memory, as in 64m
    #[arg(short, long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Memory and swap together; -1 is no limit
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<String>,
    /// Memory that it is pushed back to when the machine has little
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_reservation: Option<String>,
    /// How readily it is swapped, 0 to 100
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) memory_swappiness: Option<String>,
    /// Processors, as in 1.5
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,
    /// Share of processor time beside others, 2 to 262144
    #[arg(short, long, value_name = "SHARES")]
    pub(crate) cpu_shares: Option<u64>,
    /// Processor time per period, microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Length of a period, microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    /// Which processors, as in 0-3,7
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Which memory nodes
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Processes and threads; -1 is no limit [default: 512]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Weight of block devices, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) blkio_weight: Option<u16>,
    /// Limit of a resource: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT", value_delimiter = ',')]
    pub(crate) ulimit: Vec<String>,
    /// -1000 (kept) to 1000 (ended first) when memory runs out
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) oom_score_adj: Option<i32>,
    /// Never end its processes for want of memory
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch, value_name = "BOOL", action = ArgAction::Set, default_value = "false", hide_default_value = true, hide_possible_values = true)]
    pub(crate) oom_kill_disable: bool,
    /// Size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    pub(crate) shm_size: Option<String>,
    /// Control group under which its own is made
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup_parent: Option<String>,
    /// A file of its control group (version 2), as in memory.high=1073741824
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub(crate) cgroup_conf: Vec<String>,
}

/// Thousandths of `1.5`.
pub(super) fn thousandths(text: &str) -> Parsed<u64> {
    let wrong = || format!("{text:?} is no number of processors, as 1.5 is one");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.len() > 9 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
    let part: u64 = format!("{part:0<3.3}").parse().map_err(|_| wrong())?;
    whole
        .checked_mul(1000)
        .and_then(|whole| whole.checked_add(part))
        .filter(|milli| *milli <= 1 << 40)
        .ok_or_else(wrong)
}

fn within<T: PartialOrd + std::fmt::Display + Copy>(value: T, low: T, high: T) -> Parsed<T> {
    if value >= low && value <= high {
        Ok(value)
    } else {
        Err(format!("{value} is not from {low} to {high}"))
    }
}

/// `0-3,7`.
pub(super) fn set(text: &str) -> Parsed<String> {
    let number = parse::number::<u16>;
    let part = |part: &str| match part.split_once('-') {
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
        None => number(part).is_some(),
    };
    if text.split(',').all(part) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no list, as 0-3,7 is one"))
    }
}

impl LimitFlags {
    /// Also what `update` changes.
    pub(crate) fn apply(&self, desired: &mut Desired, faults: &mut Faults) {
        let limits = &mut desired.limits;
        let mut size = |flag: &str, text: &Option<String>, into: &mut Option<u64>| {
            if let Some(found) = text.as_deref().and_then(|text| faults.take(flag, parse::bytes(text))) {
                // 0 is podman's word for no limit.
                *into = Some(found).filter(|bytes| *bytes > 0);
            }
        };
        size("--memory", &self.memory, &mut limits.memory);
        size("--memory-reservation", &self.memory_reservation, &mut limits.memory_reservation);
        if let Some(text) = self.memory_swap.as_deref() {
            limits.memory_swap = if text == "-1" {
                Some(-1)
            } else {
                let bytes = faults.take("--memory-swap", parse::bytes(text));
                bytes.and_then(|bytes| i64::try_from(bytes).ok()).filter(|bytes| *bytes > 0)
            };
        }
        if let (Some(swap @ 1..), memory) = (limits.memory_swap, limits.memory) {
            match memory {
                None => faults.add("--memory-swap", "is memory and swap together: say --memory too"),
                Some(memory) if swap.unsigned_abs() < memory => {
                    faults.add("--memory-swap", "is less than --memory, which it includes");
                }
                Some(_) => {}
            }
        }
        if let Some(text) = self.memory_swappiness.as_deref().filter(|text| *text != "-1") {
            let number = text.parse::<u64>().map_err(|_| format!("{text:?} is no number"));
            limits.memory_swappiness =
                faults.take("--memory-swappiness", number.and_then(|number| within(number, 0, 100)));
        }
        if let Some(text) = self.cpus.as_deref() {
            limits.cpu_milli = faults.take("--cpus", thousandths(text)).filter(|milli| *milli > 0);
            if self.cpu_quota.is_some() || self.cpu_period.is_some() {
                faults.add("--cpus", "says the same as --cpu-quota and --cpu-period: take one or the other");
            }
            (limits.cpu_quota, limits.cpu_period) = (None, None);
        }
        if let Some(quota) = self.cpu_quota.filter(|quota| *quota != 0) {
            limits.cpu_quota =
                if quota < 0 { Some(-1) } else { faults.take("--cpu-quota", within(quota, 1000, i64::MAX)) };
            limits.cpu_milli = None;
        }
        if let Some(period) = self.cpu_period.filter(|period| *period != 0) {
            limits.cpu_period = faults.take("--cpu-period", within(period, 1000, 1_000_000));
            limits.cpu_milli = None;
        }
        if let Some(shares) = self.cpu_shares.filter(|shares| *shares != 0) {
            limits.cpu_shares = faults.take("--cpu-shares", within(shares, 2, 262_144));
        }
        for (flag, text, into) in [
            ("--cpuset-cpus", &self.cpuset_cpus, &mut limits.cpuset_cpus),
            ("--cpuset-mems", &self.cpuset_mems, &mut limits.cpuset_mems),
        ] {
            if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
                *into = faults.take(flag, set(text));
            }
        }
        if let Some(number) = self.pids_limit {
            limits.pids = faults
                .take("--pids-limit", within(number, -1, 1 << 22))
                .map(|number| if number == 0 { -1 } else { number });
        }
        if let Some(weight) = self.blkio_weight.filter(|weight| *weight != 0) {
            limits.blkio_weight = faults.take("--blkio-weight", within(weight, 10, 1000));
        }
        for text in &self.ulimit {
            if let Some(limit) = faults.take("--ulimit", parse::ulimit(text)) {
                limits.ulimits.retain(|known| known.name != limit.name);
                limits.ulimits.push(limit);
            }
        }
        if let Some(score) = self.oom_score_adj {
            limits.oom_score_adj = faults.take("--oom-score-adj", within(score, -1000, 1000));
        }
        limits.oom_kill_disable |= self.oom_kill_disable;
        match self.shm_size.as_deref().map(parse::bytes) {
            Some(size) => limits.shm_size = faults.take("--shm-size", size).unwrap_or_default(),
            None if limits.shm_size == 0 => limits.shm_size = SHM,
            None => {}
        }
        if let Some(parent) = &self.cgroup_parent {
            if parent.split('/').any(|part| part == "..") || parent.is_empty() {
                faults.add("--cgroup-parent", format!("{parent:?} is no path of a control group"));
            }
            limits.cgroup_parent = Some(parent.clone());
        }
        for text in &self.cgroup_conf {
            match text.split_once('=') {
                Some((key, value)) if !key.is_empty() && !key.contains('/') => {
                    limits.unified.insert(key.to_owned(), value.to_owned());
                }
                Some(_) | None => faults.add("--cgroup-conf", format!("{text:?} is no KEY=VALUE")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_in_thousandths() {
        for (text, wanted) in [("1", 1000), ("1.5", 1500), ("0.25", 250), (".5", 500), ("2.0004", 2000)] {
            assert_eq!(thousandths(text), Ok(wanted), "{text}");
        }
        for bad in ["", "x", "-1", "1.x", "1.5.5", "99999999999999999999"] {
            assert!(thousandths(bad).is_err() || bad.is_empty(), "{bad}");
        }
    }

    #[test]
    fn lists_of_processors_are_checked() {
        for good in ["0", "0-3", "0-3,7", "1,2"] {
            assert!(set(good).is_ok(), "{good}");
        }
        for bad in ["", "3-1", "a", "0-", "0,,1", "+1", "0-+3"] {
            assert!(set(bad).is_err(), "{bad}");
        }
    }
}
