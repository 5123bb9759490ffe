//! The abuse suite: bad input, and what tries to wear a registry out. Ids are those of the abuse
//! and fault table in ARCHITECTURE.md.

mod catalogue;
mod chunks;
mod digests;
mod endless;
mod lists;
mod manifests;
mod names;
mod sessions;

pub use catalogue::catalogue;

use crate::{case::Options, http::Target, report::Report};

/// Judges `target` by every case of the [`catalogue`] that the options select.
pub async fn run(target: &Target, options: &Options) -> Report {
    crate::case::run("abuse", catalogue(), target, options).await
}
