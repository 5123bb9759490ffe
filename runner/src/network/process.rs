//! Processes, told apart from later ones that got their number.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process: its number, and when it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i32,
    /// Ticks since the machine began.
    started: u64,
}

impl Process {
    /// The process of this number, where there is one that has not ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name may hold anything, also brackets; what follows the last one is the kernel's alone.
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(Self { pid, started })
    }

    /// This process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    /// Whether it runs still.
    pub(crate) fn alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_ended_is_gone_and_its_number_does_not_bring_it_back() {
        let own = Process::own().unwrap();
        assert!(own.alive());
        assert!(!Process { started: own.started + 1, ..own }.alive());
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(process.alive());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!process.alive());
    }
}
