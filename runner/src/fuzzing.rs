//! For the fuzz targets in `runner/fuzz`: parsers of outside bytes, none of which needs a file, a namespace or root. Nobody
//! else should call this; it changes with what is behind it.

use std::path::Path;

use berth_oci::{Digest, Platform};

use crate::{
    bundle::{ids, seccomp as profile, user},
    cli,
    image::{changes, config, load, name, tell},
    network, rootless,
    supervisor::{clients, live, outside},
    transfer, unpack,
};

/// Reads the tar of a layer.
pub fn layer(bytes: &[u8]) {
    unpack::fuzzing::layer(bytes);
}

/// Reads answers of the kernel about the network.
pub fn netlink(bytes: &[u8]) {
    network::fuzzing::netlink(bytes);
}

/// Reads questions and answers of DNS.
pub fn dns(bytes: &[u8]) {
    network::names::fuzzing::message(bytes);
}

/// Looks for a user in an image's `/etc/passwd` and `/etc/group`: `user NUL passwd NUL group`.
///
/// # Panics
/// If a user is found whose id means "none" to the kernel.
pub fn accounts(text: &str) {
    let mut parts = text.splitn(3, '\0');
    let [user, passwd, group] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let additional = [user.to_owned(), "wheel".to_owned()];
    for additional in [&[][..], &additional] {
        if let Ok(found) = user::among(passwd, || Ok(group.to_owned()), user, additional) {
            assert!(user.split(':').all(|part| part != "4294967295" && part != "4294967296"), "{found:?}");
            assert!(found.home.is_absolute());
        }
    }
}

/// Reads a profile of system calls, in docker's form or the specification's, and compiles it.
pub fn seccomp(bytes: &[u8]) {
    for (capabilities, kernel) in [(vec![], "6.1.0-18-amd64"), (vec!["CAP_SYS_ADMIN".to_owned()], "4.7")] {
        if let Ok(profile) = profile::parse(bytes, &capabilities, kernel) {
            let _steps = berth_runtime::fuzzing::seccomp(&profile);
        }
    }
}

/// Reads texts of `/proc`, and the files that give ids to users.
///
/// # Panics
/// If a range goes beyond the last id.
pub fn proc_files(text: &str) {
    cli::fuzzing::proc_files(text);
    network::fuzzing::configuration(text);
    let _any = (live::parse_start_time(text), rootless::ranges::name(text, 1000));
    let _map = rootless::parse_map(text);
    for range in ids::ranges(text, &["berth", "1000", ""]) {
        assert!(range.size > 0 && range.start.checked_add(range.size).is_some());
    }
    berth_runtime::fuzzing::groups(text);
    berth_runtime::fuzzing::ranges(text);
}

/// Reads what people type for sizes, durations, signals and limits.
pub fn units(text: &str) {
    cli::fuzzing::units(text);
}

/// Reads what people type for volumes, mounts, devices, ports, hosts.
pub fn flags(text: &str) {
    cli::fuzzing::flags(text);
    berth_runtime::fuzzing::mount_options(text);
}

/// Reads names that people type for images.
///
/// # Panics
/// If a name that an image gets here is read otherwise.
pub fn image_name(text: &str) {
    let _transport = name::has_transport(text);
    if let Ok(full) = name::own(text) {
        assert_eq!(name::own(&full).ok(), Some(full));
    }
}

/// Reads an image's configuration, as a pull and as a new container do.
///
/// # Panics
/// If layers are taken that could not be mounted.
pub fn image_config(bytes: &[u8]) {
    cli::fuzzing::image_config(bytes);
    let Ok(outline) = config::Outline::parse(bytes) else { return };
    if outline.check_layers("x").is_ok() {
        assert!(outline.diff_ids().len() <= config::MAX_LAYERS);
    }
    let _lengths: Vec<usize> = outline.diff_ids().iter().map(|id: &Digest| id.hex().len()).collect();
    let _fits = config::check_platform("x", &outline.platform(), Some(&Platform::default()));
}

/// Reads the lists of images in archives.
pub fn archive_lists(bytes: &[u8]) {
    load::fuzzed(bytes);
}

/// Applies instructions of a Containerfile, a line each, to the configuration of an image.
///
/// # Panics
/// If what came of them is a configuration that nobody could read.
pub fn changes(text: &str) {
    changes::fuzzed(text);
}

/// Reads what lies in the store, and what is said between a container's supervisor and its clients.
///
/// # Panics
/// If a request means something else when it is said again.
pub fn records(bytes: &[u8]) {
    unpack::fuzzing::recipe(bytes);
    clients::fuzzed(bytes);
    cli::fuzzing::log(bytes);
    berth_runtime::fuzzing::cached_filter(bytes);
    let _version = outside::runc_version(&String::from_utf8_lossy(bytes));
}

/// Compares a name with a pattern of people's: `pattern NUL name`.
///
/// # Panics
/// If the answer is another than that of the plainest way to find it.
pub fn pattern(text: &str) {
    let (pattern, name) = text.split_once('\0').unwrap_or((text, text));
    tell::glob_fuzzed(pattern.as_bytes(), name.as_bytes());
}

/// Unpacks a tar into a folder, as `cp` does.
///
/// # Panics
/// Where the folder cannot be opened.
pub fn files(bytes: &[u8], into: &Path) {
    transfer::fuzzed(bytes, into);
}
