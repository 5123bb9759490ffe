//! For the fuzz targets in `runner/fuzz`.

use std::path::Path;

use super::{dbus, file, hierarchy, stats};

/// Reads a text as each file of control groups, and as the two files of a process that say where its groups are.
///
/// # Panics
/// If a group lies outside of the tree that it belongs to.
pub(crate) fn files(text: &str) {
    let (first, second) = text.split_once('\0').unwrap_or((text, text));
    let root = Path::new("/r");
    for tree in hierarchy::parse(first, second, root) {
        assert!(tree.own.starts_with(&tree.mount), "{tree:?}");
        assert!(
            !tree.own.components().any(|part| part == std::path::Component::ParentDir)
                || first.contains("..")
        );
    }
    for options in ["", "memory", "cpu,cpuacct", "name=systemd"] {
        if let Some(group) = hierarchy::own(second, options) {
            assert!(second.contains(group));
        }
    }
    for key in ["oom_kill", "usage_usec", ""] {
        let _number = file::keyed(text, key);
    }
    let _numbers = (stats::blkio(text, "Read"), stats::io_stat(text, "rbytes="));
}

/// Reads what systemd could answer.
pub(crate) fn bus(bytes: &[u8]) {
    dbus::drain(bytes);
}
