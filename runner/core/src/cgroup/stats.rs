//! What a group uses, from whichever version counts it.

use std::path::Path;

use super::{Cgroup, Stats, file, limits::Home, memory::UNLIMITED_V1};
use crate::RuntimeError;

impl Cgroup {
    /// What it uses. What nothing here counts is 0.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn stats(&self) -> Result<Stats, RuntimeError> {
        let mut stats = Stats::default();
        self.cpu(&mut stats)?;
        match self.home("memory", "memory")? {
            Some(Home::V1(folder)) => memory_v1(folder, &mut stats)?,
            Some(Home::V2(folder)) => memory_v2(folder, &mut stats)?,
            None => {}
        }
        if let Some(Home::V1(folder) | Home::V2(folder)) = self.home("pids", "pids")? {
            stats.pids = file::number(&folder.join("pids.current"))?.unwrap_or(0);
            stats.pids_limit = file::number(&folder.join("pids.max"))?;
        } else {
            stats.pids = self.processes()?.len() as u64;
        }
        match self.home("blkio", "io")? {
            Some(Home::V1(folder)) => {
                // Bytes are counted where rates are limited; bfq counts beside it.
                for name in
                    ["blkio.throttle.io_service_bytes_recursive", "blkio.bfq.io_service_bytes_recursive"]
                {
                    let Some(text) = file::read(&folder.join(name))? else { continue };
                    (stats.read_bytes, stats.write_bytes) = (blkio(&text, "Read"), blkio(&text, "Write"));
                    if stats.read_bytes + stats.write_bytes > 0 {
                        break;
                    }
                }
            }
            Some(Home::V2(folder)) => {
                let text = file::read(&folder.join("io.stat"))?.unwrap_or_default();
                (stats.read_bytes, stats.write_bytes) =
                    (io_stat(&text, "rbytes="), io_stat(&text, "wbytes="));
            }
            None => {}
        }
        Ok(stats)
    }

    fn cpu(&self, stats: &mut Stats) -> Result<(), RuntimeError> {
        // Version 2 counts time without a controller.
        if let Some(folder) = self.unified_folder()
            && let Some(text) = file::read(&folder.join("cpu.stat"))?
        {
            let of = |key| file::keyed(&text, key).unwrap_or(0);
            stats.cpu_usec = of("usage_usec");
            stats.cpu_user_usec = of("user_usec");
            stats.cpu_system_usec = of("system_usec");
            stats.cpu_throttled_periods = of("nr_throttled");
        } else if let Some(folder) = self.v1_folder("cpuacct") {
            let of =
                |name: &str| Ok::<_, RuntimeError>(file::number(&folder.join(name))?.unwrap_or(0) / 1000);
            stats.cpu_usec = of("cpuacct.usage")?;
            stats.cpu_user_usec = of("cpuacct.usage_user")?;
            stats.cpu_system_usec = of("cpuacct.usage_sys")?;
        }
        if let Some(folder) = self.v1_folder("cpu") {
            let text = file::read(&folder.join("cpu.stat"))?.unwrap_or_default();
            stats.cpu_throttled_periods = file::keyed(&text, "nr_throttled").unwrap_or(0);
        }
        Ok(())
    }
}

fn memory_v1(folder: &Path, stats: &mut Stats) -> Result<(), RuntimeError> {
    let number = |name: &str| file::number(&folder.join(name));
    let details = file::read(&folder.join("memory.stat"))?.unwrap_or_default();
    let dropped = file::keyed(&details, "total_inactive_file").unwrap_or(0);
    stats.memory_bytes = number("memory.usage_in_bytes")?.unwrap_or(0).saturating_sub(dropped);
    stats.memory_limit_bytes = number("memory.limit_in_bytes")?.filter(|limit| *limit < UNLIMITED_V1);
    stats.memory_peak_bytes = number("memory.max_usage_in_bytes")?;
    let oom = file::read(&folder.join("memory.oom_control"))?.unwrap_or_default();
    stats.oom_kills = file::keyed(&oom, "oom_kill").unwrap_or(0);
    Ok(())
}

fn memory_v2(folder: &Path, stats: &mut Stats) -> Result<(), RuntimeError> {
    let number = |name: &str| file::number(&folder.join(name));
    let details = file::read(&folder.join("memory.stat"))?.unwrap_or_default();
    let dropped = file::keyed(&details, "inactive_file").unwrap_or(0);
    stats.memory_bytes = number("memory.current")?.unwrap_or(0).saturating_sub(dropped);
    stats.memory_limit_bytes = number("memory.max")?;
    stats.memory_peak_bytes = number("memory.peak")?;
    let events = file::read(&folder.join("memory.events"))?.unwrap_or_default();
    stats.oom_kills = file::keyed(&events, "oom_kill").unwrap_or(0);
    Ok(())
}

/// Lines `8:0 Read 4096`; the last one is a total without an operation.
pub(super) fn blkio(text: &str, operation: &str) -> u64 {
    let rows = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    rows.filter_map(|row| match row[..] {
        [_, kind, bytes] if kind == operation => bytes.parse::<u64>().ok(),
        _ => None,
    })
    .fold(0, u64::saturating_add)
}

/// Lines `8:0 rbytes=4096 wbytes=0 ...`.
pub(super) fn io_stat(text: &str, key: &str) -> u64 {
    let numbers = text.split_whitespace().filter_map(|cell| cell.strip_prefix(key)?.parse::<u64>().ok());
    numbers.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_devices_are_added() {
        let v1 = "8:0 Read 4096\n8:0 Write 1\n8:0 Total 4097\n9:1 Read 4\nTotal 4101\n";
        assert_eq!([blkio(v1, "Read"), blkio(v1, "Write")], [4100, 1]);
        let v2 = "8:0 rbytes=90 wbytes=5 rios=1 wios=1 dbytes=0 dios=0\n9:0 rbytes=10 wbytes=0\n";
        assert_eq!([io_stat(v2, "rbytes="), io_stat(v2, "wbytes=")], [100, 5]);
    }
}
