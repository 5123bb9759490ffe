//! `system`: the whole of what is kept.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Context, Globals, check, container, info, output, volume};
use crate::{
    error::{Result, RunnerError},
    network,
    store::bytes_below,
    supervisor::live::snapshot,
    volume::Volumes,
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Read the whole store again and say what is damaged, or left over
    Check(check::Arguments),
    /// Show what images, containers and volumes take on disk
    Df(Df),
    /// Show the machine, the store and this program
    Info(info::Arguments),
    /// Remove containers that do not run, networks and images that nobody uses
    Prune(Prune),
}

#[derive(Args, Debug)]
struct Df {
    /// `json`, or a Go template like '{{.Type}} {{.Size}}'
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,
}

#[derive(Args, Debug)]
struct Prune {
    /// Also images that have a name but no container
    #[arg(long, short)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Also volumes that no container has, with their files
    #[arg(long)]
    volumes: bool,
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    match &arguments.verb {
        Verb::Check(arguments) => check::run(globals, arguments),
        Verb::Df(arguments) => df(globals, arguments),
        Verb::Info(arguments) => info::run(globals, arguments),
        Verb::Prune(arguments) => prune(globals, arguments),
    }
}

/// One kind of thing.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Taken {
    #[serde(rename = "Type")]
    kind: &'static str,
    total: usize,
    active: usize,
    raw_size: u64,
    raw_reclaimable: u64,
}

impl Taken {
    fn count(&mut self, bytes: u64, active: bool) {
        self.total += 1;
        self.active += usize::from(active);
        self.raw_size += bytes;
        self.raw_reclaimable += if active { 0 } else { bytes };
    }

    fn row(&self) -> Result<output::Row> {
        let percent = (self.raw_reclaimable * 100).checked_div(self.raw_size).unwrap_or(0);
        let shown = serde_json::json!({
            "Type": self.kind,
            "Total": self.total,
            "Active": self.active,
            "Size": output::size(self.raw_size),
            "Reclaimable": format!("{} ({percent}%)", output::size(self.raw_reclaimable)),
        });
        let json = Some(output::value(self)?);
        Ok(output::Row { quiet: self.kind.into(), shown: output::value(&shown)?, json })
    }
}

/// Images, containers, volumes.
fn taken(context: &Context) -> Result<[Taken; 3]> {
    let usage = context.store.usage()?;
    let images = Taken {
        kind: "Images",
        total: usage.images,
        active: usage.active,
        raw_size: usage.bytes,
        raw_reclaimable: usage.reclaimable,
    };
    let mut containers = Taken { kind: "Containers", ..Taken::default() };
    for desired in context.records.all()?.0 {
        let up = snapshot(&context.records, &desired)?.condition.is_up();
        containers.count(bytes_below(&context.folders.container(&desired.id))?, up);
    }
    let mut taken = Taken { kind: "Local Volumes", ..Taken::default() };
    let volumes = Volumes::new(&context.folders);
    for volume in volumes.all()? {
        let used = !volumes.users(&volume.name)?.is_empty();
        taken.count(bytes_below(&volumes.data(&volume.name)?)?, used);
    }
    Ok([images, containers, taken])
}

fn df(globals: &Globals, arguments: &Df) -> Result<u8> {
    let context = globals.open()?;
    let rows = taken(&context)?.iter().map(Taken::row).collect::<Result<Vec<_>>>()?;
    let listing = output::Listing { format: arguments.format.clone(), ..output::Listing::default() };
    let columns = output::Columns {
        template: "{{.Type}}\t{{.Total}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
        headings: &[],
    };
    output::list(&listing, columns, &rows)?;
    Ok(0)
}

/// What will go, for the question.
fn question(arguments: &Prune) -> String {
    let mut what = BTreeSet::from(["containers that do not run", "networks that no container is on"]);
    what.insert(if arguments.all { "images that no container is of" } else { "images without a name" });
    if arguments.volumes {
        what.insert("volumes that no container has, with their files");
    }
    format!("This removes all {}.", what.into_iter().collect::<Vec<_>>().join(", all "))
}

fn prune(globals: &Globals, arguments: &Prune) -> Result<u8> {
    if !arguments.force && !volume::confirmed(&question(arguments))? {
        return Ok(0);
    }
    // Containers first: what only they used is free then.
    let code = container::prune(globals, true, &[])?;
    let context = globals.open()?;
    for name in network::prune(&context.folders)? {
        output::line(name)?;
    }
    if arguments.volumes {
        let volumes = Volumes::new(&context.folders);
        for volume in volumes.all()? {
            match volumes.remove(&volume.name) {
                Ok(()) => output::line(&volume.name)?,
                // Used, or removed by somebody else this moment.
                Err(RunnerError::Conflict(_) | RunnerError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let (removed, freed) = context.store.prune_images(arguments.all)?;
    for manifest in removed {
        output::line(manifest.as_str())?;
    }
    output::line(format!("freed {} of images", output::size(freed.bytes)))?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_active_cannot_be_reclaimed() {
        let mut taken = Taken::default();
        taken.count(30, true);
        taken.count(10, false);
        assert_eq!((taken.total, taken.active, taken.raw_size, taken.raw_reclaimable), (2, 1, 40, 10));
    }

    #[test]
    fn the_question_names_volumes_where_they_go() {
        let asked = |volumes| question(&Prune { all: false, force: false, volumes });
        assert!(asked(true).contains("volumes") && !asked(false).contains("volumes"));
    }
}
