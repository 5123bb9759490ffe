//! Limits of processor time, and which processors.

use std::path::Path;

use oci_spec::runtime::LinuxCpu;
use rustix::io::Errno;

use super::{Cgroup, file, limits::Home};
use crate::{During, RuntimeError};

const FIELD: &str = "linux.resources.cpu";

/// What the kernel takes without being told.
const PERIOD: u64 = 100_000;

fn unsupported(field: &str, why: &str) -> RuntimeError {
    RuntimeError::Unsupported { what: format!("{FIELD}.{field}"), why: why.to_owned() }
}

pub(super) fn apply(group: &Cgroup, cpu: &LinuxCpu) -> Result<(), RuntimeError> {
    let time = cpu.shares().filter(|shares| *shares != 0).is_some()
        || cpu.quota().filter(|quota| *quota != 0).is_some()
        || cpu.period().filter(|period| *period != 0).is_some()
        || cpu.burst().is_some()
        || cpu.idle().is_some()
        || cpu.realtime_runtime().is_some()
        || cpu.realtime_period().is_some();
    if time {
        match group.needed("cpu", "cpu", FIELD)? {
            Home::V1(folder) => v1(folder, cpu)?,
            Home::V2(folder) => v2(folder, cpu)?,
        }
    }
    for (file, set) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        if let Some(set) = set.as_deref().filter(|set| !set.is_empty()) {
            let (Home::V1(folder) | Home::V2(folder)) =
                group.needed("cpuset", "cpuset", &format!("{FIELD}.{}", &file["cpuset.".len()..]))?;
            file::try_write(&folder.join(file), set)
                .map_err(|error| refused_set(folder, file, set, error))?;
        }
    }
    Ok(())
}

/// A processor that is not there, or that the groups above do not have.
fn refused_set(folder: &Path, name: &str, set: &str, error: std::io::Error) -> RuntimeError {
    match Errno::from_io_error(&error) {
        Some(Errno::INVAL | Errno::ACCESS | Errno::RANGE | Errno::NOSPC) => {
            let above = folder.parent().unwrap_or(folder);
            let kind = &name["cpuset.".len()..];
            // As version 1 and as version 2 name it.
            let names = [format!("cpuset.effective_{kind}"), format!("{name}.effective")];
            let has = names
                .iter()
                .find_map(|name| file::read(&above.join(name)).ok().flatten())
                .unwrap_or_default();
            RuntimeError::Spec {
                field: format!("{FIELD}.{kind}"),
                rule: format!(
                    "{set:?} is not to be had here ({error}): {} has {:?}",
                    above.display(),
                    has.trim()
                ),
            }
        }
        _ => RuntimeError::Step {
            step: format!("writing {set:?} to {}", folder.join(name).display()),
            source: error,
        },
    }
}

fn v1(folder: &Path, cpu: &LinuxCpu) -> Result<(), RuntimeError> {
    if let Some(idle) = cpu.idle() {
        file::write(&folder.join("cpu.idle"), &idle.to_string())?;
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        file::write(&folder.join("cpu.shares"), &shares.to_string())?;
    }
    if let Some(period) = cpu.realtime_period() {
        file::write(&folder.join("cpu.rt_period_us"), &period.to_string())?;
    }
    if let Some(runtime) = cpu.realtime_runtime() {
        let file = folder.join("cpu.rt_runtime_us");
        file::try_write(&file, &runtime.to_string()).map_err(|error| RuntimeError::Unsupported {
            what: format!("{FIELD}.realtimeRuntime"),
            why: format!(
                "{runtime} cannot be given to {} ({error}): the groups above must have as much, see cpu.rt_runtime_us \
                 there",
                folder.display()
            ),
        })?;
    }
    let period = cpu.period().filter(|period| *period != 0).map(|period| period.to_string());
    let quota = cpu.quota().filter(|quota| *quota != 0).map(|quota| quota.to_string());
    let burst = cpu.burst().map(|burst| burst.to_string());
    in_some_order(&[
        (folder.join("cpu.cfs_period_us"), period),
        (folder.join("cpu.cfs_quota_us"), quota),
        (folder.join("cpu.cfs_burst_us"), burst),
    ])
}

/// Writes values of which each may be impossible before another: a quota is refused when with the period that stands
/// it is more than the group above has, a burst above the quota, a quota below the burst. So what is refused at first
/// is written again after the others.
fn in_some_order(values: &[(std::path::PathBuf, Option<String>)]) -> Result<(), RuntimeError> {
    let mut left: Vec<_> =
        values.iter().filter_map(|(file, value)| Some((file, value.as_deref()?))).collect();
    loop {
        let before = left.len();
        let mut refused = None;
        let mut again = Vec::new();
        for (file, value) in left {
            match file::try_write(file, value) {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                    again.push((file, value));
                    refused.get_or_insert((file, value, error));
                }
                done => done.during(|| format!("writing {value} to {}", file.display()))?,
            }
        }
        let Some((file, value, error)) = refused else { return Ok(()) };
        if again.len() == before {
            return Err(error).during(|| format!("writing {value} to {}", file.display()));
        }
        left = again;
    }
}

/// The weight of version 2 (1 to 10000, 100 is usual) for shares of version 1 (2 to 262144, 1024 is usual): a curve
/// through all three points, as other runtimes have it since 2025. The straight line of before gave the usual shares
/// a weight of 39, so containers with a wish had less than those without.
pub(super) fn weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^18")]
    let power = (shares as f64).log2();
    let exponent = (power * power + 125.0 * power) / 612.0 - 7.0 / 34.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
    let weight = 10f64.powf(exponent).ceil() as u64;
    weight.clamp(1, 10_000)
}

fn v2(folder: &Path, cpu: &LinuxCpu) -> Result<(), RuntimeError> {
    if cpu.realtime_runtime().is_some_and(|runtime| runtime != 0)
        || cpu.realtime_period().is_some_and(|p| p != 0)
    {
        return Err(unsupported(
            "realtimeRuntime",
            "control groups of version 2 do not share out realtime: leave it and realtimePeriod out",
        ));
    }
    if let Some(idle) = cpu.idle() {
        file::write(&folder.join("cpu.idle"), &idle.to_string())?;
    }
    // An idle group has its weight from that, and another is refused.
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0 && cpu.idle() != Some(1)) {
        file::write(&folder.join("cpu.weight"), &weight(shares).to_string())?;
    }
    let max = folder.join("cpu.max");
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    let both = if quota.is_some() || period.is_some() {
        // What is not named stays.
        let stands = file::read(&max)?.unwrap_or_default();
        let mut stands = stands.split_whitespace();
        let quota_stands = stands.next().unwrap_or("max").to_owned();
        let period_stands = stands.next().and_then(|period| period.parse().ok()).unwrap_or(PERIOD);
        let quota = match quota {
            None => quota_stands,
            Some(quota) if quota < 0 => "max".into(),
            Some(quota) => quota.to_string(),
        };
        Some(format!("{quota} {}", period.unwrap_or(period_stands)))
    } else {
        None
    };
    in_some_order(&[(max, both), (folder.join("cpu.max.burst"), cpu.burst().map(|burst| burst.to_string()))])
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn shares_become_weights_through_the_three_known_points() {
        for (shares, expected) in [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert!((2..=262_144).map(weight).is_sorted());
    }
}
