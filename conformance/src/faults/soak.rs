//! `berth-conformance soak`: the same scenarios with as many rounds as the table asks for.

use std::{io::Write, process::ExitCode, time::Instant};

use clap::Args;

use super::{
    Database, FaultError, PowerOptions, Result, bucket_flips_bits, bucket_goes_wrong, catalog_disk_full,
    data_disk_full, database_frozen, database_restarts, delete_in_mid_pull, failing_syncs,
    head_then_manifest, kill_at_each_call, kill_in_mid_collection, kill_in_mid_push, lost_replies,
    one_blob_by_many, power_loss, push_beside_collection, rolling_restarts, tag_races, uploads_resume,
};
use crate::harness::Stack;

/// Which scenarios, and how much of them.
#[derive(Debug, Args)]
pub struct SoakArgs {
    /// Only scenarios whose name contains this text, as "F3".
    #[arg(long)]
    only: Option<String>,
    /// So many hundredths of the full number of rounds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    percent: u32,
}

type Scenario = (&'static str, usize, fn(usize) -> Result<String>);

/// Name, full number of rounds, and what it does.
const SCENARIOS: &[Scenario] = &[
    ("F1 kill -9 in mid-push, embedded", 500, |rounds| kill_in_mid_push(Stack::Embedded, rounds, 2000)),
    ("F1 kill -9 in mid-push, outside", 100, |rounds| kill_in_mid_push(Stack::outside()?, rounds, 2000)),
    ("F2 kill at each call", 1, |_| kill_at_each_call()),
    ("F3 power loss, SQLite", 200, |snapshots| {
        power_loss(PowerOptions { database: Database::Sqlite, snapshots, syncs: true })
    }),
    ("F3 power loss, PostgreSQL", 200, |snapshots| {
        power_loss(PowerOptions { database: Database::Postgres, snapshots, syncs: true })
    }),
    ("F4 fsync answers EIO", 1, |_| failing_syncs()),
    ("F5 disk full on data", 4, data_disk_full),
    ("F6 disk full on the catalog", 50, catalog_disk_full),
    ("F8 the bucket goes wrong", 1000, bucket_goes_wrong),
    ("F9 the bucket flips bits", 1000, bucket_flips_bits),
    ("F11 database restarts", 100, database_restarts),
    ("F11 database frozen", 10, database_frozen),
    ("F12 replies to commits are lost", 100, lost_replies),
    ("F14 one blob by many, embedded", 200, |rounds| one_blob_by_many(Stack::Embedded, rounds, 50, 5)),
    ("F14 one blob by many, outside", 200, |rounds| one_blob_by_many(Stack::outside()?, rounds, 50, 5)),
    ("F15 push against collection, embedded", 100_000, |pushes| {
        push_beside_collection(Stack::Embedded, pushes)
    }),
    ("F15 push against collection, outside", 10_000, |pushes| {
        push_beside_collection(Stack::outside()?, pushes)
    }),
    ("F16 HEAD, then manifest, against collection", 10_000, |rounds| {
        head_then_manifest(Stack::Embedded, rounds)
    }),
    ("F17 delete against pull", 50, |rounds| delete_in_mid_pull(Stack::Embedded, rounds)),
    ("F1 kill -9 in mid-collection", 100, |rounds| kill_in_mid_collection(Stack::Embedded, rounds)),
    ("F18 tag races over three replicas", 50, tag_races),
    ("F21 rolling restarts of three replicas", 20, rolling_restarts),
    ("F21 uploads resume, embedded", 100, |rounds| uploads_resume(Stack::Embedded, rounds)),
];

/// Runs them one after another; a line each. 0: all passed; 1: something was broken.
pub fn soak(args: &SoakArgs, out: &mut impl Write) -> Result<ExitCode> {
    let mut failed = false;
    let chosen = |name: &str| args.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    for (name, rounds, run) in SCENARIOS.iter().filter(|(name, ..)| chosen(name)) {
        let rounds = (rounds * args.percent as usize).div_ceil(100);
        let begun = Instant::now();
        let (verdict, said) = match run(rounds) {
            Ok(said) => ("pass", said),
            Err(error @ FaultError::Broken { .. }) => ("FAIL", error.to_string()),
            Err(error) => ("BROKE OFF", error.to_string()),
        };
        failed |= verdict != "pass";
        writeln!(out, "{verdict:<4} {name} ({:.0?}): {said}", begun.elapsed())?;
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
