//! For the fuzz targets in `runner/fuzz`.

use super::{container_flags::ImageConfig, events, info, logs, output, stats, top};

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

/// Reads a text as lines of a log, and shows each.
pub(crate) fn log(bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        logs::fuzzed(line);
    }
    let tamed = output::tamed(&String::from_utf8_lossy(bytes));
    assert!(!tamed.contains('\x1b'), "{tamed:?}");
}

/// Reads a text as a time that people give.
pub(crate) fn time(text: &str) {
    let _any = events::time(text);
}
