//! `diff`.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::{Globals, output};
use crate::{
    error::{Result, RunnerError},
    store::Change,
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The container: a name or an id
    #[arg(value_name = "CONTAINER")]
    container: String,

    /// `json` in place of lines
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// What every start makes in a root, so that something can be mounted there; podman leaves it out, too.
const MADE_AT_START: &[&str] = &[
    "dev",
    "etc/hostname",
    "etc/hosts",
    "etc/mtab",
    "etc/resolv.conf",
    "proc",
    "run",
    "run/.berth-init",
    "run/.berth-notify",
    "run/.containerenv",
    "run/notify",
    "run/secrets",
    "sys",
];

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let container = context.records.find(&arguments.container)?;
    let mut changes = context.store.changes(&container)?;
    changes.retain(|(_, path)| !MADE_AT_START.iter().any(|made| path == Path::new(made)));
    let shown = |path: &Path| Path::new("/").join(path).display().to_string();
    match arguments.format.as_deref() {
        None => {
            for (change, path) in &changes {
                output::line(format!("{} {}", change.letter(), shown(path)))?;
            }
        }
        Some(format) if output::is_json(format) => {
            let of = |wanted: Change| {
                let those = changes.iter().filter(|(change, _)| *change == wanted);
                those.map(|(_, path)| shown(path)).collect::<Vec<_>>()
            };
            output::json(&json!({
                "changed": of(Change::Changed),
                "added": of(Change::Added),
                "deleted": of(Change::Deleted),
            }))?;
        }
        Some(other) => {
            return Err(RunnerError::Usage(format!("--format {other:?}: json is the one that there is")));
        }
    }
    Ok(0)
}
