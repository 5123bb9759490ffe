//! What the kernel knows of a process.

use std::fs;
use std::time::Duration;

/// Figures of `/proc/PID`. Each reading is `None` once the process is gone.
#[derive(Debug, Clone, Copy)]
pub struct ProcessStats {
    pid: u32,
}

/// Processor time spent by a process and all its threads since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTime {
    /// In the program.
    pub user: Duration,
    /// In the kernel, on its behalf.
    pub system: Duration,
}

impl CpuTime {
    /// Both together.
    pub fn total(self) -> Duration {
        self.user + self.system
    }
}

impl ProcessStats {
    /// Of the process with this id.
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Processor time so far, in steps of one tick (10 ms on Linux).
    pub fn cpu(self) -> Option<CpuTime> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The command's name may hold anything but ends at the last parenthesis; utime is the 14th field of all.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let time =
            |ticks: u64| Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second());
        Some(CpuTime { user: time(ticks(11)?), system: time(ticks(12)?) })
    }

    /// Resident memory now, in bytes.
    pub fn memory(self) -> Option<u64> {
        self.status_kib("VmRSS:")
    }

    /// Resident memory at its highest, in bytes.
    pub fn peak_memory(self) -> Option<u64> {
        self.status_kib("VmHWM:")
    }

    /// Resets the peak to what is resident now, so that one piece of work can be measured.
    pub fn reset_peak(self) -> std::io::Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5")
    }

    /// Number of open descriptors.
    pub fn descriptors(self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count())
    }

    fn status_kib(self, key: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    }
}
