//! Which ids a user's namespace has.

use std::{fs, os::fd::OwnedFd};

use berth_runtime::mapped_user_namespace;
use oci_spec::runtime::LinuxIdMapping;

use crate::{
    bundle::{
        ids::{Range, ranges},
        namespaces::mapping,
    },
    error::Result,
};

/// The user's own id as root, then the subordinate ones.
fn mappings(own: u32, subordinate: &[Range]) -> Vec<LinuxIdMapping> {
    let mut found = vec![mapping(0, own, 1)];
    let mut next = 1_u32;
    for range in subordinate {
        let size = range.size.min(u32::MAX - next);
        found.push(mapping(next, range.start, size));
        next += size;
    }
    found
}

/// The name of a user, for the first field of `/etc/subuid`.
pub(crate) fn name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// Makes the namespace of a user. One without subordinate ids gets its own id alone, and is told.
pub(super) fn make(uid: u32, gid: u32) -> Result<OwnedFd> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (passwd, number) = (read("/etc/passwd"), uid.to_string());
    let mut names = vec![number.as_str()];
    names.extend(name(&passwd, uid));
    let (uids, gids) = (ranges(&read("/etc/subuid"), &names), ranges(&read("/etc/subgid"), &names));
    if uids.is_empty() || gids.is_empty() {
        eprintln!(
            "berth-runner: user {} has no range in {}: containers have one id, and images with files of others may not work. Ask for one: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}",
            names.last().unwrap_or(&"you"),
            if uids.is_empty() { "/etc/subuid" } else { "/etc/subgid" },
            names.last().unwrap_or(&"you"),
        );
        return Ok(mapped_user_namespace(&mappings(uid, &[]), &mappings(gid, &[]))?);
    }
    Ok(mapped_user_namespace(&mappings(uid, &uids), &mappings(gid, &gids))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_root_and_the_ranges_follow() {
        let two = [Range { start: 100_000, size: 65_536 }, Range { start: 300_000, size: 10 }];
        let wanted = vec![mapping(0, 1000, 1), mapping(1, 100_000, 65_536), mapping(65_537, 300_000, 10)];
        assert_eq!(mappings(1000, &two), wanted);
        assert_eq!(mappings(1000, &[]), vec![mapping(0, 1000, 1)]);
    }

    #[test]
    fn a_user_is_known_by_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!(name(passwd, 1000), Some("ada"));
        assert_eq!(name(passwd, 7), None);
    }
}
