//! For the fuzz targets in `runner/fuzz`.

use super::{
    etc::Resolver,
    netlink::{attributes, messages},
    subnet::Subnet,
};

/// Reads answers of the kernel about links, addresses, routes and packet filters.
///
/// # Panics
/// If more comes out than went in.
pub(crate) fn netlink(bytes: &[u8]) {
    let Ok(found) = messages(bytes) else { return };
    let whole: usize = found.iter().map(|(_, answer)| answer.body.len() + 16).sum();
    assert!(whole <= bytes.len() + 3);
    for (_, answer) in &found {
        // Headers of the families have 4 bytes and more.
        for header in [4, 8, 12, 16] {
            nested(answer.body.get(header..).unwrap_or_default(), 0);
        }
    }
}

fn nested(bytes: &[u8], depth: usize) {
    let found = attributes(bytes);
    assert!(found.iter().map(|(_, value)| value.len() + 4).sum::<usize>() <= bytes.len());
    if depth < 4 {
        found.iter().for_each(|(_, value)| nested(value, depth + 1));
    }
}

/// Reads `/etc/resolv.conf`, and a range of addresses.
///
/// # Panics
/// If a range does not hold its own first address.
pub(crate) fn configuration(text: &str) {
    let _servers = Resolver::parse(text);
    if let Ok(range) = text.parse::<Subnet>() {
        assert!(range.contains(range.address), "{range:?}");
    }
}
