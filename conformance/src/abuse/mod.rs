//! The abuse suite: bad input, and what tries to wear a registry out.

use crate::{
    case::{Case, Options},
    http::Target,
    report::Report,
};

/// The suite's cases.
#[must_use]
pub fn catalogue() -> Vec<Case> {
    Vec::new()
}

/// Judges `target` by every case of the [`catalogue`] that the options select.
pub async fn run(target: &Target, options: &Options) -> Report {
    crate::case::run("abuse", catalogue(), target, options).await
}
