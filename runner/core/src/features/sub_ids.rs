//! What gives an ordinary user's container its ids.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::read;

/// Ranges of ids of an ordinary user, and the programs that hand them out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubIds {
    /// `newuidmap`, where it is found.
    pub newuidmap: Option<PathBuf>,
    /// `newgidmap`, where it is found.
    pub newgidmap: Option<PathBuf>,
    /// How many user ids `/etc/subuid` gives to this user.
    pub users: u64,
    /// How many group ids `/etc/subgid` gives to this user.
    pub groups: u64,
}

/// How many ids a file gives to a user, who stands in it by name or by number.
pub(crate) fn given(text: &str, name: Option<&str>, id: u32) -> u64 {
    let of = |line: &str| {
        let mut cells = line.split(':');
        let user = cells.next()?;
        let count: u64 = cells.nth(1)?.trim().parse().ok()?;
        (Some(user) == name || user == id.to_string()).then_some(count)
    };
    text.lines().filter_map(of).fold(0, u64::saturating_add)
}

/// The name of a user in `/etc/passwd`.
pub(crate) fn user_name(passwd: &str, id: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut cells = line.split(':');
        let name = cells.next()?;
        (cells.nth(1)? == id.to_string()).then_some(name)
    })
}

impl SubIds {
    pub(super) fn probe(root: &Path) -> io::Result<Self> {
        let program = |name: &str| {
            let places = [
                "usr/bin",
                "bin",
                "usr/local/bin",
                "usr/sbin",
                "run/current-system/sw/bin",
                "run/wrappers/bin",
            ];
            places.iter().map(|place| root.join(place).join(name)).find(|path| path.exists())
        };
        let id = rustix::process::getuid().as_raw();
        let passwd = read(&root.join("etc/passwd"))?.unwrap_or_default();
        let name = user_name(&passwd, id);
        let count =
            |file: &str| Ok::<_, io::Error>(given(&read(&root.join(file))?.unwrap_or_default(), name, id));
        Ok(Self {
            newuidmap: program("newuidmap"),
            newgidmap: program("newgidmap"),
            users: count("etc/subuid")?,
            groups: count("etc/subgid")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_by_name_and_by_number() {
        let text = "anna:100000:65536\nbert:1:1\n1000:200000:10\nbroken\n";
        assert_eq!([given(text, Some("anna"), 1000), given(text, None, 7)], [65546, 0]);
        assert_eq!(user_name("root:x:0:0::/root:/bin/sh\nanna:x:1000:1000::/:/bin/sh\n", 1000), Some("anna"));
    }
}
