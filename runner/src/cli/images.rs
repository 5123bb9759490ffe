//! `images`.

use clap::Args;
use jiff::Timestamp;

use super::{
    Globals,
    output::{self, Columns, Filters, Listing},
};
use crate::{error::Result, image::tell};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only images of this repository, or that match a pattern like '*app*'
    #[arg(value_name = "REFERENCE")]
    reference: Option<String>,

    /// All images; there are no hidden ones here
    #[arg(long, short)]
    all: bool,

    /// Show the digests of manifests
    #[arg(long)]
    digests: bool,

    /// By this: created, id, repository, size or tag
    #[arg(long, value_name = "KEY", default_value = "created")]
    sort: tell::Sort,

    #[command(flatten)]
    listing: Listing,
}

const HEADINGS: &[(&str, &str)] =
    &[("ID", "IMAGE ID"), ("CreatedSince", "CREATED"), ("CreatedAt", "CREATED AT")];
const COLUMNS: Columns = Columns {
    template: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    headings: HEADINGS,
};
const WITH_DIGESTS: Columns = Columns {
    template: "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    headings: HEADINGS,
};

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let filters = Filters::parse(&arguments.listing.filter, tell::FILTERS)?;
    let context = globals.open()?;
    let listed = tell::Listed {
        context: &context,
        filters: &filters,
        reference: arguments.reference.as_deref(),
        sort: arguments.sort,
        full: arguments.listing.no_trunc,
        now: Timestamp::now(),
    };
    let columns = if arguments.digests { WITH_DIGESTS } else { COLUMNS };
    // JSON has one object per image, a table one line per name.
    let json = arguments.listing.format.as_deref().is_some_and(output::is_json);
    let rows = if json || arguments.listing.quiet { listed.images()? } else { listed.names()? };
    output::list(&arguments.listing, columns, &rows)?;
    Ok(0)
}
