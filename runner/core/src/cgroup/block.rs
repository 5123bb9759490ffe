//! Limits of block devices.

use std::path::Path;

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::{Cgroup, file, limits::Home};
use crate::RuntimeError;

const FIELD: &str = "linux.resources.blockIO";

fn unsupported(field: &str, why: &str) -> RuntimeError {
    RuntimeError::Unsupported { what: format!("{FIELD}.{field}"), why: why.to_owned() }
}

/// Weights of the specification are 10 to 1000, or 0 for nothing.
fn checked(field: &str, weight: Option<u16>) -> Result<Option<u16>, RuntimeError> {
    match weight {
        None | Some(0) => Ok(None),
        Some(10..=1000) => Ok(weight),
        Some(other) => Err(RuntimeError::Spec {
            field: format!("{FIELD}.{field}"),
            rule: format!("{other} is not 10 to 1000"),
        }),
    }
}

pub(super) fn apply(group: &Cgroup, block: &LinuxBlockIo) -> Result<(), RuntimeError> {
    let weight = checked("weight", block.weight())?;
    let leaf = checked("leafWeight", block.leaf_weight())?;
    let mut devices = Vec::new();
    for device in block.weight_device().iter().flatten() {
        if checked("weightDevice", device.leaf_weight())?.is_some() {
            return Err(leaf_weights("weightDevice"));
        }
        if let Some(weight) = checked("weightDevice", device.weight())? {
            devices.push((format!("{}:{}", device.major(), device.minor()), weight));
        }
    }
    if leaf.is_some() {
        return Err(leaf_weights("leafWeight"));
    }
    let rates = [
        ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", block.throttle_read_bps_device()),
        (
            "throttleWriteBpsDevice",
            "blkio.throttle.write_bps_device",
            "wbps",
            block.throttle_write_bps_device(),
        ),
        (
            "throttleReadIOPSDevice",
            "blkio.throttle.read_iops_device",
            "riops",
            block.throttle_read_iops_device(),
        ),
        (
            "throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
            "wiops",
            block.throttle_write_iops_device(),
        ),
    ];
    if let Some(weight) = weight {
        match group.needed("blkio", "io", &format!("{FIELD}.weight"))? {
            Home::V1(folder) => write_weight(folder, "blkio.bfq.weight", "blkio.weight", "", weight, weight)?,
            Home::V2(folder) => {
                write_weight(folder, "io.bfq.weight", "io.weight", "default ", weight, io_weight(weight))?;
            }
        }
    }
    for (device, weight) in devices {
        let device = format!("{device} ");
        match group.needed("blkio", "io", &format!("{FIELD}.weightDevice"))? {
            Home::V1(folder) => {
                write_weight(
                    folder,
                    "blkio.bfq.weight_device",
                    "blkio.weight_device",
                    &device,
                    weight,
                    weight,
                )?;
            }
            Home::V2(folder) => {
                write_weight(folder, "io.bfq.weight", "io.weight", &device, weight, io_weight(weight))?;
            }
        }
    }
    for (field, v1, v2, devices) in rates {
        for device in devices.iter().flatten() {
            throttle(group, field, v1, v2, device)?;
        }
    }
    Ok(())
}

fn leaf_weights(field: &str) -> RuntimeError {
    unsupported(field, "no kernel since Linux 5.0 has weights of leaves: leave it out")
}

/// 10 to 1000 on the scale of `io.weight`, 1 to 10000.
fn io_weight(weight: u16) -> u16 {
    let scaled = 1 + (u32::from(weight.max(10)) - 10) * 9999 / 990;
    u16::try_from(scaled).unwrap_or(10_000)
}

/// The scheduler bfq has files of its own; which are there depends on what the kernel was built with.
fn write_weight(
    folder: &Path,
    bfq: &str,
    other: &str,
    prefix: &str,
    weight: u16,
    other_weight: u16,
) -> Result<(), RuntimeError> {
    for (name, weight) in [(bfq, weight), (other, other_weight)] {
        let path = folder.join(name);
        if path.exists() {
            // `default` is what io.bfq.weight calls it, too.
            return file::write(&path, &format!("{prefix}{weight}"));
        }
    }
    Err(unsupported(
        "weight",
        &format!(
            "{} has neither {bfq} nor {other}: the kernel shares block devices out by weight only with the scheduler \
             bfq or io.cost; limit rates (throttle...) instead",
            folder.display()
        ),
    ))
}

fn throttle(
    group: &Cgroup,
    field: &str,
    v1: &str,
    v2: &str,
    device: &LinuxThrottleDevice,
) -> Result<(), RuntimeError> {
    let (major, minor, rate) = (device.major(), device.minor(), device.rate());
    let field = format!("{FIELD}.{field}");
    match group.needed("blkio", "io", &field)? {
        // 0 takes the limit away.
        Home::V1(folder) => file::write(&folder.join(v1), &format!("{major}:{minor} {rate}")),
        Home::V2(folder) => {
            let rate = if rate == 0 { "max".to_owned() } else { rate.to_string() };
            file::write(&folder.join("io.max"), &format!("{major}:{minor} {v2}={rate}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::io_weight;

    #[test]
    fn weights_keep_their_ends() {
        assert_eq!([io_weight(10), io_weight(1000)], [1, 10_000]);
    }
}
