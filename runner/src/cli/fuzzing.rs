//! For the fuzz targets in `runner/fuzz`.

use super::{container_flags::ImageConfig, info, stats, top};

pub(crate) use super::container_flags::fuzzing::{flags, units};

/// Reads a text as files of `/proc` that commands show.
pub(crate) fn proc_files(text: &str) {
    let _any = (info::memory(text), stats::traffic(text), top::inside(text, "1000"));
}

/// Reads an image's configuration as a new container does.
///
/// # Panics
/// If it exposes more ports than there are.
pub(crate) fn image_config(bytes: &[u8]) {
    let Ok(config) = ImageConfig::parse(bytes) else { return };
    let _any = (config.check(), config.health_and_folder());
    assert!(config.exposed().len() <= 3 * 65_535);
}
