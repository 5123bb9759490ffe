//! F3: the power fails.
//!
//! The server's data lie on ext4 in a file behind a loop device (in memory, where that file's own disk plays no part). What a program wrote and did not sync stays in the
//! file system's page cache and never reaches that file, for ten minutes. At a random moment the server is stopped, and
//! once no call of it is under way the file is copied: that is the disk as the power failure leaves it. The copy is
//! mounted, recovers from its journal, and a server on it is asked for all that had been acknowledged by then.

use std::{fs, path::Path, time::Duration};

use super::{
    Action, Cell, Expect, FaultError, Recorder, Result, Shim,
    cell::{make_ext4, wait_stopped},
    steps::{moment, replay, runtime},
};
use crate::harness::{Berth, BerthBuilder, Durability, HarnessError, Postgres, Signal, Tool};

/// Room, most of which is never used.
const SIZE: u64 = 1 << 30;
const WORKERS: usize = 4;
const LIMIT: Duration = Duration::from_secs(60);
/// At least so much is acknowledged between two snapshots.
const AT_LEAST: usize = 4;
/// Up to so many milliseconds more pass before a snapshot.
const LONGEST: u64 = 300;
/// A file system serves so many snapshots; then a new one begins, before replays grow long.
const SNAPSHOTS: usize = 10;

/// Where the catalog is; blobs are in a folder on the same disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// SQLite.
    Sqlite,
    /// PostgreSQL, its files on the disk that fails.
    Postgres,
}

/// How the power fails.
#[derive(Clone, Copy, Debug)]
pub struct PowerOptions {
    /// Where the catalog is.
    pub database: Database,
    /// How often.
    pub snapshots: usize,
    /// Whether the server's syncs reach the disk. Without them things must be lost: otherwise the test has no teeth.
    pub syncs: bool,
}

/// F3: see the module. Ends at the first loss.
pub fn power_loss(options: PowerOptions) -> Result<String> {
    let (mut left, mut acknowledged) = (options.snapshots, 0);
    while left > 0 {
        let now = left.min(SNAPSHOTS);
        acknowledged += one_disk(options, now, options.snapshots - left)?;
        left -= now;
    }
    Ok(format!("{} snapshots, {acknowledged} acknowledgements, 0 lost", options.snapshots))
}

/// The servers on one disk; PostgreSQL outlives the registry.
struct Machine {
    berth: Berth,
    // Held for its end, which comes after the registry's.
    _postgres: Option<Postgres>,
    // And this after both.
    cell: Cell,
}

impl Machine {
    /// Starts what is on the disk; on a fresh one there is nothing yet.
    fn start(image: &Path, database: Database, builder: BerthBuilder, fresh: bool) -> Result<Self> {
        let cell = Cell::ext4(image)?;
        let data = cell.path().join("data");
        let mut builder = builder.data(&data).wrapper(cell.enter());
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(start_postgres(&cell, fresh)?),
        };
        if fresh {
            // Disk and cluster were there before the story begins; all that the registry makes is part of it.
            cell.sync()?;
        }
        if let Some(postgres) = &postgres {
            builder = builder
                .set("catalog.kind", "\"postgres\"")
                .set("catalog.url", &format!("{:?}", postgres.url("postgres")));
        }
        Ok(Self { berth: builder.start()?, _postgres: postgres, cell })
    }
}

fn start_postgres(cell: &Cell, fresh: bool) -> Result<Postgres> {
    let data = cell.path().join("postgres");
    let seen = cell.outside(&data);
    if fresh {
        fs::create_dir(&seen)?;
        Tool::new("chown")?.arg("postgres").arg(&seen).run()?;
        Tool::new("chmod")?.arg("700").arg(&seen).run()?;
    } else {
        // It names a process of before the power failed, which in truth still runs.
        match fs::remove_file(seen.join("postmaster.pid")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(Postgres::start_at(Durability::Full, &data, &cell.enter(), fresh)?)
}

/// Several snapshots of one disk. How much was acknowledged on it.
fn one_disk(options: PowerOptions, snapshots: usize, before: usize) -> Result<usize> {
    // In memory: a copy must be made before the kernel thinks of writing by itself, however busy the real disk is.
    let (runtime, memory) = (runtime()?, Cell::tmpfs(2 * SIZE)?);
    let folder = memory.outside(memory.path());
    let (image, copy) = (folder.join("disk.img"), folder.join("snapshot.img"));
    make_ext4(&image, SIZE)?;
    // Held until the end, with the file by which it is told what to do.
    let without = if options.syncs { None } else { Some(Shim::new()?) };
    let mut builder = Berth::builder();
    if let Some(shim) = &without {
        shim.set(Action::SkipSyncs)?;
        builder = shim.env().into_iter().fold(builder, |builder, (key, value)| builder.env(key, value));
    }
    let mut machine = Machine::start(&image, options.database, builder, true)?;
    if let Some(shim) = &without {
        shim.must_have_met()?;
    }
    let mut recorder = Recorder::start(&machine.berth.url(), WORKERS)?;
    let mut history = recorder.history()?;
    for snapshot in 1..=snapshots {
        let when = format!("F3, {:?}, snapshot {}", options.database, before + snapshot);
        recorder.go_on();
        recorder.wait_for(&history, AT_LEAST, LIMIT)?;
        std::thread::sleep(moment(0, LONGEST));
        history = fail(&mut machine, &mut recorder, &copy)?;
        let builder = Berth::builder();
        let after = match Machine::start(&copy, options.database, builder, false) {
            Ok(after) => after,
            // A server that cannot start on what is left has lost all of it.
            Err(FaultError::Harness(
                error @ (HarnessError::Ended { .. } | HarnessError::Deadline { .. }),
            )) => {
                return Err(FaultError::broken(when, format!("I1: no start after the failure: {error}")));
            }
            Err(error) => return Err(error),
        };
        replay(&runtime, &after.berth.url(), &history, Expect::MACHINE, &when)?;
    }
    Ok(history.acknowledged)
}

/// Takes the disk as it is now, and what had been acknowledged by then.
fn fail(machine: &mut Machine, recorder: &mut Recorder, copy: &Path) -> Result<super::History> {
    let pid = machine.berth.pid();
    let pid = pid.ok_or_else(|| HarnessError::Unexpected("the registry has ended".to_owned()))?;
    machine.berth.signal(Signal::STOP);
    wait_stopped(pid)?;
    // Answers that are on their way now were given before the failure and count as well, if they come in time.
    let history = recorder.history()?;
    machine.cell.snapshot(copy)?;
    recorder.hold();
    machine.berth.signal(Signal::CONT);
    Ok(history)
}
