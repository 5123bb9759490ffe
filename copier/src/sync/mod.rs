//! Sync: many images at once, from a registry, folders, a layout, or a list in YAML.
//!
//! [`run`] lists the source, plans, copies several images at once over one session, and deletes last. What is unchanged
//! costs a HEAD on each side; a sync that was interrupted is simply run again.

mod access;
pub mod config;
mod constraint;
mod ends;
mod expression;
mod folders;
mod listing;
mod naming;
mod place;
mod plan;
mod report;
mod request;
mod run;
mod tags;
#[cfg(test)]
mod tests;
mod tree;
mod version;
mod watch;

pub use constraint::{Constraint, ConstraintError};
pub use expression::Expression;
pub use listing::Failure;
pub use naming::{Destination, Transport};
pub use report::{Action, DeletionReport, ImageReport, Report};
pub use request::{From, PARALLEL, Prune, Request};
pub use tags::{Pattern, PatternError, Rule, Selection};
pub use watch::{Clock, SystemClock, watch};

use crate::{Result, Session};

/// Syncs. What failed for one image or repository is in the report; without `keep_going` the first failed image ends
/// the rest.
///
/// # Errors
/// Before anything is copied: a list that cannot be read, a source with nothing in it, two images with one name.
pub async fn run(session: &Session, request: &Request) -> Result<Report> {
    run::run(&ends::Ends::new(session, request), request).await
}

/// Tells what [`run`] would do, with digests and, where an image is not there yet, its bytes. Writes nothing.
///
/// # Errors
/// As [`run`].
pub async fn dry_run(session: &Session, request: &Request) -> Result<Report> {
    run::dry_run(&ends::Ends::new(session, request), request).await
}
