//! The specification suite: distribution-spec 1.1 and its development version.

mod base;
mod blobs;
mod catalogue;
mod datasets;
mod deletes;
pub(crate) mod manifests;
pub(crate) mod mounts;
pub(crate) mod push;
mod ranges;
pub(crate) mod referrers;
mod tag_parameters;
mod tags;
pub(crate) mod upload_order;
mod uploads;

pub use catalogue::catalogue;

use crate::{case::Options, http::Target, report::Report};

/// Judges `target` by every case of the [`catalogue`] that the options select.
pub async fn run(target: &Target, options: &Options) -> Report {
    crate::case::run("specification", catalogue(), target, options).await
}
