//! `check`.

use clap::Args;

use super::{Globals, output};
use crate::error::Result;

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Remove what is damaged, with the images that cannot be without it, and what nobody uses
    #[arg(long)]
    repair: bool,
}

/// The number for content that is not what it was.
const DAMAGED: u8 = 4;

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let store = context.store;
    let mut report = store.check()?;
    report.leftovers.extend(context.records.leftovers()?);
    for damage in &report.damage {
        output::line(format!("damaged: {damage}"))?;
    }
    for path in &report.leftovers {
        output::line(format!("unused: {}", path.display()))?;
    }
    output::line(format!(
        "{} layers and {} objects read, {} damaged, {} unused",
        report.layers,
        report.objects,
        report.damage.len(),
        report.leftovers.len()
    ))?;
    if !arguments.repair {
        if report.damage.is_empty() {
            return Ok(0);
        }
        output::line("`berth-runner check --repair` removes what is damaged; then pull its images again")?;
        return Ok(DAMAGED);
    }
    context.records.sweep()?;
    let (kept, freed) = store.repair(&report)?;
    output::line(format!(
        "removed {} images, {} layers and {} objects: {}",
        freed.images,
        freed.layers,
        freed.objects,
        output::size(freed.bytes)
    ))?;
    for manifest in &kept {
        let users = store.users(manifest)?.join(", ");
        output::line(format!(
            "image {manifest} is not whole and is used by {users}: pull it again, or remove those"
        ))?;
    }
    Ok(if kept.is_empty() { 0 } else { DAMAGED })
}
