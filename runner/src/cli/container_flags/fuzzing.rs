//! For the fuzz targets in `runner/fuzz`.

use std::path::{Component, Path};

use super::{isolation, lifecycle, limits, mount_key, mounts, network, process, security};
use crate::{
    network::parse_mac,
    record::{Attach, Mount, parse},
};

fn sound(mount: &Mount) {
    let place = &mount.destination;
    let normal = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    assert!(place.is_absolute() && place.components().all(normal), "{mount:?}");
    assert_ne!(place.as_path(), Path::new("/"), "{mount:?}");
}

/// Reads a text as the value of each flag that has a syntax of its own.
///
/// # Panics
/// If a mount hides the container's root or leads out of it, or ports are none.
pub(crate) fn flags(text: &str) {
    for mount in [mounts::volume(text), mounts::tmpfs(text), mount_key::parse(text)].into_iter().flatten() {
        sound(&mount);
    }
    if let Ok(ports) = parse::ports(text) {
        assert!(ports.iter().all(|port| port.container != 0) && ports.len() <= 3 * 65_535);
    }
    if let Ok(exposed) = parse::exposed(text) {
        assert!(exposed.iter().all(|(port, _)| *port != 0) && exposed.len() <= 3 * 65_535);
    }
    if let Ok(device) = mounts::device(text) {
        assert!(device.source.is_absolute() && device.destination.is_absolute(), "{device:?}");
    }
    if let Ok(mac) = network::mac(text) {
        assert!(parse_mac(&mac).is_ok() && parse_mac(text).is_ok(), "{text:?}");
    }
    if let Ok(map) = isolation::map(text) {
        assert!(map.size > 0 && map.container.checked_add(map.size).is_some());
    }
    if let Ok((name, _)) = security::sysctl(text, true, true) {
        assert!(!name.contains('/'), "{name:?}");
    }
    let _any = (network::host(text), security::paths(text), crate::cli::fuzzing::time(text));
    let _any = network::options(&mut Attach::default(), text);
    let _any = (limits::thousandths(text), limits::set(text), process::entrypoint(text));
    let _any = (lifecycle::restart(text), lifecycle::detach_keys(text));
}

/// Reads a text as sizes, durations, signals, limits.
///
/// # Panics
/// If what is read cannot be said again.
pub(crate) fn units(text: &str) {
    if let Ok(bytes) = parse::bytes(text) {
        assert_eq!(parse::bytes(&bytes.to_string()), Ok(bytes));
    }
    if let Ok(milliseconds) = parse::milliseconds(text) {
        assert_eq!(parse::milliseconds(&format!("{milliseconds}ms")), Ok(milliseconds));
    }
    if let Ok(signal) = parse::signal(text) {
        assert_eq!(parse::signal(&signal.to_string()), Ok(signal));
    }
    if let Ok(limit) = parse::ulimit(text) {
        assert!(limit.soft <= limit.hard);
    }
    let _any = (parse::pair(text), parse::truth(text));
}
