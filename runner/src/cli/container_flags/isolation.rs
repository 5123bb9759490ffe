//! What it shares, and whose ids it has.

use std::path::PathBuf;

use clap::Args;

use super::{Choices, Surroundings, UserChoice};
use crate::record::{
    Desired, IdMap, Namespace,
    parse::{Faults, Parsed},
};

/// Flags of namespaces.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Isolation")]
pub(crate) struct IsolationFlags {
    /// User namespace: auto[:size=N], keep-id[:uid=N,gid=N], nomap, host, container:NAME or ns:PATH
    ///
    /// With host root in a container of root's is root on the machine, held by capabilities and filters alone: with
    /// --cap-add ALL by nothing.
    #[arg(long, value_name = "MODE")]
    pub(crate) userns: Option<String>,
    /// Map user ids: CONTAINER:MACHINE:COUNT
    #[arg(long, value_name = "MAP", value_delimiter = ',')]
    pub(crate) uidmap: Vec<String>,
    /// Map group ids
    #[arg(long, value_name = "MAP", value_delimiter = ',')]
    pub(crate) gidmap: Vec<String>,
    /// Processes: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pub(crate) pid: Option<String>,
    /// Shared memory and queues: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pub(crate) ipc: Option<String>,
    /// Host name: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pub(crate) uts: Option<String>,
    /// Control groups as seen: private, host, container:NAME or ns:PATH
    #[arg(long, value_name = "MODE")]
    pub(crate) cgroupns: Option<String>,
}

/// A namespace's path.
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    let path = PathBuf::from(text);
    if !path.is_absolute() {
        return Err(format!("ns:{text}: is no path: it begins with /"));
    }
    if path.exists() { Ok(path) } else { Err(format!("ns:{text}: is not there")) }
}

fn namespace(text: &str, private: &[&str], surroundings: &Surroundings<'_>) -> Parsed<Namespace> {
    match text.split_once(':') {
        None if text == "host" => Ok(Namespace::Host),
        None if text.is_empty() || text == "private" || private.contains(&text) => Ok(Namespace::Private),
        Some(("container", name)) => {
            Ok(Namespace::Container(surroundings.records.find(name).map_err(|error| error.to_string())?.id))
        }
        Some(("ns", place)) => Ok(Namespace::Path(path(place)?)),
        None | Some(_) => Err(format!("{text:?} is none of private, host, container:NAME and ns:PATH")),
    }
}

/// `CONTAINER:MACHINE:COUNT`; one id where no count is said.
pub(super) fn map(text: &str) -> Parsed<IdMap> {
    let wrong = || format!("{text:?} is no CONTAINER:MACHINE:COUNT, as 0:100000:65536 is one");
    let numbers: Vec<u32> = text.split(':').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let map = match numbers.as_slice() {
        [container, host] => IdMap { container: *container, host: *host, size: 1 },
        [container, host, size] => IdMap { container: *container, host: *host, size: *size },
        _ => return Err(wrong()),
    };
    let ends = map.container.checked_add(map.size).and(map.host.checked_add(map.size));
    if map.size == 0 || ends.is_none() { Err(wrong()) } else { Ok(map) }
}

/// Maps of both kinds; what is said of users is said of groups where nothing is said of them, and the reverse.
fn maps(users: &[String], groups: &[String], faults: &mut Faults) -> Option<(Vec<IdMap>, Vec<IdMap>)> {
    let mut parse = |flag: &str, texts: &[String]| -> Vec<IdMap> {
        let found: Vec<IdMap> = texts.iter().filter_map(|text| faults.take(flag, map(text))).collect();
        for (at, one) in found.iter().enumerate() {
            let meet = |a: u32, b: u32, other: &IdMap| a < b + other.size && b < a + one.size;
            let meets = |other: &IdMap| {
                meet(one.container, other.container, other) || meet(one.host, other.host, other)
            };
            if found[..at].iter().any(meets) {
                faults.add(flag, "two ranges overlap");
            }
        }
        found
    };
    let (users, groups) = (parse("--uidmap", users), parse("--gidmap", groups));
    match (users.is_empty(), groups.is_empty()) {
        (true, true) => None,
        (true, false) => Some((groups.clone(), groups)),
        (false, true) => Some((users.clone(), users)),
        (false, false) => Some((users, groups)),
    }
}

/// `uid=7,gid=8`.
fn numbers(text: &str, known: &[&str]) -> Parsed<Vec<(String, u32)>> {
    let pair = |word: &str| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        if !known.contains(&key) {
            return Err(format!("{key:?} is none of {}", known.join(", ")));
        }
        let number = value.parse().map_err(|_| format!("{word:?} has no number"))?;
        Ok((key.to_owned(), number))
    };
    text.split(',').filter(|word| !word.is_empty()).map(pair).collect()
}

fn user(text: &str, surroundings: &Surroundings<'_>) -> Parsed<UserChoice> {
    let (mode, rest) = text.split_once(':').unwrap_or((text, ""));
    let value = |found: &[(String, u32)], key: &str| {
        found.iter().find(|(name, _)| name == key).map(|(_, number)| *number)
    };
    match mode {
        "host" => Ok(UserChoice::Host),
        "" | "private" => Ok(UserChoice::Usual),
        "auto" => {
            let found = numbers(rest, &["size"])?;
            let size = value(&found, "size");
            if size == Some(0) { Err("size=0 has no ids".into()) } else { Ok(UserChoice::Auto(size)) }
        }
        "keep-id" | "nomap" if !surroundings.rootless => {
            Err(format!("{mode} is for ordinary users: root has auto and host"))
        }
        "keep-id" => {
            let found = numbers(rest, &["uid", "gid"])?;
            Ok(UserChoice::KeepId { uid: value(&found, "uid"), gid: value(&found, "gid") })
        }
        "nomap" => Ok(UserChoice::NoMap),
        "container" => {
            let other = surroundings.records.find(rest).map_err(|error| error.to_string())?;
            Ok(UserChoice::Container(Box::new(other)))
        }
        "ns" => Ok(UserChoice::Path(path(rest)?)),
        other => Err(format!("{other:?} is none of auto, keep-id, nomap, host, container:NAME and ns:PATH")),
    }
}

impl IsolationFlags {
    pub(super) fn apply(
        &self,
        surroundings: &Surroundings<'_>,
        desired: &mut Desired,
        choices: &mut Choices,
        faults: &mut Faults,
    ) {
        let isolation = &mut desired.isolation;
        for (flag, text, private, into) in [
            ("--pid", &self.pid, &[][..], &mut isolation.pid),
            ("--ipc", &self.ipc, &["shareable"][..], &mut isolation.ipc),
            ("--uts", &self.uts, &[], &mut isolation.uts),
            ("--cgroupns", &self.cgroupns, &[], &mut isolation.cgroup),
        ] {
            if let Some(text) = text {
                *into = faults.take(flag, namespace(text, private, surroundings)).unwrap_or_default();
            }
        }
        if isolation.uts != Namespace::Private && desired.process.hostname.is_some() {
            faults.add("--hostname", "needs a host name of its own: leave --uts out");
        }
        let mapped = maps(&self.uidmap, &self.gidmap, faults);
        if mapped.is_some() && self.userns.is_some() {
            faults.add("--userns", "goes with neither --uidmap nor --gidmap: they say the same");
        }
        choices.user_namespace = match (mapped, self.userns.as_deref()) {
            (Some((uids, gids)), _) => UserChoice::Maps(uids, gids),
            (None, Some(text)) => faults.take("--userns", user(text, surroundings)).unwrap_or_default(),
            (None, None) => UserChoice::Usual,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_ranges_that_do_not_meet() {
        assert_eq!(map("0:100000:65536"), Ok(IdMap { container: 0, host: 100_000, size: 65_536 }));
        assert_eq!(map("5:7"), Ok(IdMap { container: 5, host: 7, size: 1 }));
        for bad in ["", "0", "0:1:0", "a:b:c", "0:4294967295:2", "1:2:3:4", "-1:0:1"] {
            assert!(map(bad).is_err(), "{bad}");
        }
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut faults = Faults::default();
        let (users, groups) = maps(&own(&["0:1000:10"]), &[], &mut faults).unwrap();
        assert_eq!(users, groups);
        faults.finish().unwrap();
        for two in [["0:1000:10", "9:5000:1"], ["0:1000:10", "50:1009:1"]] {
            let mut faults = Faults::default();
            maps(&own(&two), &[], &mut faults);
            assert!(faults.finish().is_err(), "{two:?}");
        }
    }

    #[test]
    fn options_are_numbers_by_name() {
        assert_eq!(numbers("uid=7,gid=8", &["uid", "gid"]), Ok(vec![("uid".into(), 7), ("gid".into(), 8)]));
        assert!(numbers("size=x", &["size"]).is_err() && numbers("nope=1", &["size"]).is_err());
    }
}
