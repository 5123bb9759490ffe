//! Faults at the border of server and kernel, at a call that can be named.
//!
//! `strace` injects faults too, but counts calls for each thread apart and stops each of them; the server's writes wander
//! over a pool of threads. So a library of a few lines is compiled and loaded before the C library. It is of use for
//! binaries that load the C library as a library, as `cargo build` makes them.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use super::Result;
use crate::harness::{HarnessError, Scratch, Tool};

const SOURCE: &str = include_str!("shim.c");

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: calls are counted.
    Count,
    /// The process dies by `KILL` instead of this call, counted from the control's making: a sync, rename, unlink,
    /// mkdir or truncation.
    KillAtCall(u64),
    /// This sync answers EIO.
    FailSync(u64),
    /// This sync and all after it answer EIO.
    FailSyncsFrom(u64),
    /// This sync of a blob's file or folder answers EIO; the catalog's are not counted.
    FailStoredSync(u64),
    /// No sync does anything, and all answer well: a server that forgets to sync.
    SkipSyncs,
}

/// The library and the file by which it is told what to do.
#[derive(Debug)]
pub struct Shim {
    library: PathBuf,
    control: File,
    control_path: PathBuf,
    _scratch: Scratch,
}

impl Shim {
    /// The programs it needs.
    pub const TOOLS: &[&str] = &["cc"];

    /// Compiles it. It does nothing until told to.
    pub fn new() -> Result<Self> {
        let scratch = Scratch::new("shim")?;
        let (source, library) = (scratch.write("shim.c", SOURCE)?, scratch.join("shim.so"));
        Tool::new("cc")?
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .run()?;
        let control_path = scratch.write("control", [0; 40])?;
        let control = OpenOptions::new().read(true).write(true).open(&control_path)?;
        Ok(Self { library, control, control_path, _scratch: scratch })
    }

    /// The variables that bring it into the server.
    #[must_use]
    pub fn env(&self) -> [(OsString, OsString); 2] {
        let (library, control) = (self.library.clone(), self.control_path.clone());
        [("LD_PRELOAD".into(), library.into()), ("BERTH_FAULT_CONTROL".into(), control.into())]
    }

    /// From now on.
    pub fn set(&self, action: Action) -> Result<()> {
        let (number, at) = match action {
            Action::Count => (0, 0),
            Action::KillAtCall(at) => (1, at),
            Action::FailSync(at) => (2, at),
            Action::FailSyncsFrom(at) => (3, at),
            Action::SkipSyncs => (4, 0),
            Action::FailStoredSync(at) => (5, at),
        };
        // What comes last makes it so.
        self.write(3, at)?;
        self.write(2, number)
    }

    /// Counts from nought again.
    pub fn reset(&self) -> Result<()> {
        self.set(Action::Count)?;
        self.write(0, 0)?;
        self.write(1, 0)?;
        self.write(4, 0)
    }

    /// Calls so far.
    pub fn calls(&self) -> Result<u64> {
        self.read(0)
    }

    /// Syncs so far.
    pub fn syncs(&self) -> Result<u64> {
        self.read(1)
    }

    /// Syncs of blobs' files and folders so far.
    pub fn stored_syncs(&self) -> Result<u64> {
        self.read(4)
    }

    /// An error where the server never met it: then the test would prove nothing.
    pub fn must_have_met(&self) -> Result<()> {
        if self.calls()? > 0 {
            return Ok(());
        }
        let sentence = "the server made no call that could be seen (is its binary static?)";
        Err(HarnessError::Unexpected(sentence.to_owned()).into())
    }

    fn write(&self, word: u64, value: u64) -> Result<()> {
        Ok(self.control.write_all_at(&value.to_ne_bytes(), word * 8)?)
    }

    fn read(&self, word: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, word * 8)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
