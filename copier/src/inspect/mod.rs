//! What an image is: its manifest, its configuration and a summary of both, in Skopeo's shape.

mod config;
mod image;
pub mod template;
mod value;

pub use image::Inspected;
pub use value::{Field, Time, Value};

use std::path::Path;

use crate::{Result, Settings, archive};

/// The names of the images in a docker-archive, in its order; of one without a name, its place (`@0`).
///
/// # Errors
/// If the archive cannot be read.
pub async fn archive_names(path: &Path, settings: &Settings) -> Result<Vec<String>> {
    archive::docker::names(path, settings).await
}
