//! `history`.

use clap::Args;
use jiff::Timestamp;

use super::{
    Globals,
    output::{self, Columns, Listing, Row},
};
use crate::{
    error::Result,
    image::{self, tell},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The image: a name or an id
    #[arg(value_name = "IMAGE")]
    image: String,

    /// `json`, or a Go template like '{{.ID}} {{.CreatedBy}}'
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<String>,

    /// Sizes and times as people read them
    #[arg(long, short = 'H', value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", hide_possible_values = true)]
    human: bool,

    /// Do not shorten ids and commands
    #[arg(long)]
    no_trunc: bool,

    /// Print ids alone
    #[arg(long, short)]
    quiet: bool,
}

const COLUMNS: Columns =
    Columns { template: "{{.ID}}\t{{.Created}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}", headings: &[] };

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let image = image::here(&context.store, &arguments.image)?;
    let steps = tell::history(&context.store, &image)?;
    let rows: Vec<Row> =
        steps.iter().map(|step| step.row(arguments.human, !arguments.no_trunc, Timestamp::now())).collect();
    let listing = Listing { format: arguments.format.clone(), quiet: arguments.quiet, ..Listing::default() };
    output::list(&listing, COLUMNS, &rows)?;
    Ok(0)
}
