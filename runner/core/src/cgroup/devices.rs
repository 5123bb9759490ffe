//! Which devices a container may use: rules of the specification for version 1 (files) and version 2 (a program).

use std::{collections::BTreeMap, path::Path};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::{Cgroup, device_filter, file};
use crate::RuntimeError;

pub(super) const READ: u8 = 1 << 1;
pub(super) const WRITE: u8 = 1 << 2;
pub(super) const MAKE: u8 = 1;
const ALL: u8 = READ | WRITE | MAKE;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Block,
    Char,
}

/// A set of devices. `None` is every number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Devices {
    pub(super) kind: Kind,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
}

impl Devices {
    fn meets(&self, other: &Self) -> bool {
        let same = |one: Option<u32>, other: Option<u32>| one.is_none() || other.is_none() || one == other;
        self.kind == other.kind && same(self.major, other.major) && same(self.minor, other.minor)
    }

    fn line(&self, access: u8) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        let kind = match self.kind {
            Kind::Block => 'b',
            Kind::Char => 'c',
        };
        let mut line = format!("{kind} {}:{} ", number(self.major), number(self.minor));
        line.extend(
            [(READ, 'r'), (WRITE, 'w'), (MAKE, 'm')]
                .iter()
                .filter(|(bit, _)| access & bit != 0)
                .map(|(_, c)| c),
        );
        line
    }
}

/// What is allowed or refused; of several rules for one access, the last decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) allow: bool,
    pub(super) devices: Devices,
    pub(super) access: u8,
}

/// What every container may use: nodes of any kind may be made (opening them is what counts), and the devices that
/// are in every container's `/dev`.
const USUAL: [(Option<u32>, Option<u32>, u8); 8] = [
    (None, None, MAKE),
    (Some(1), Some(3), ALL), // null
    (Some(1), Some(5), ALL), // zero
    (Some(1), Some(7), ALL), // full
    (Some(1), Some(8), ALL), // random
    (Some(1), Some(9), ALL), // urandom
    (Some(5), Some(0), ALL), // tty
    (Some(5), Some(2), ALL), // ptmx
];

/// Terminals of the container's own devpts.
const PTS: u32 = 136;

fn usual() -> impl Iterator<Item = Rule> {
    let allow =
        |kind, major, minor, access| Rule { allow: true, devices: Devices { kind, major, minor }, access };
    let chars = USUAL.into_iter().map(move |(major, minor, access)| allow(Kind::Char, major, minor, access));
    chars.chain([allow(Kind::Block, None, None, MAKE), allow(Kind::Char, Some(PTS), None, ALL)])
}

/// The rules in their order, with types that mean both kinds taken apart.
fn rules(asked: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, RuntimeError> {
    let mut rules = Vec::new();
    for (place, rule) in asked.iter().enumerate() {
        let spec =
            |rule: String| RuntimeError::Spec { field: format!("linux.resources.devices[{place}]"), rule };
        let number = |name: &str, number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(value) => u32::try_from(value)
                .map(Some)
                .map_err(|_| spec(format!("{name} {value} is no device number: leave it out for all"))),
        };
        let (major, minor) = (number("major", rule.major())?, number("minor", rule.minor())?);
        let mut access = 0;
        for letter in rule.access().as_deref().unwrap_or("rwm").chars() {
            access |= match letter {
                'r' => READ,
                'w' => WRITE,
                'm' => MAKE,
                other => return Err(spec(format!("access {other:?} is none of r, w and m"))),
            };
        }
        let kinds: &[Kind] = match rule.typ().unwrap_or(LinuxDeviceType::A) {
            LinuxDeviceType::A => &[Kind::Block, Kind::Char],
            LinuxDeviceType::B => &[Kind::Block],
            LinuxDeviceType::C | LinuxDeviceType::U => &[Kind::Char],
            LinuxDeviceType::P => return Err(spec("a pipe is no device: leave it out".into())),
        };
        let access = if access == 0 { ALL } else { access };
        let one =
            |&kind: &Kind| Rule { allow: rule.allow(), devices: Devices { kind, major, minor }, access };
        rules.extend(kinds.iter().map(one));
    }
    rules.extend(usual());
    Ok(rules)
}

impl Cgroup {
    /// Refuses all devices but those of the rules and the usual ones.
    pub(super) fn limit_devices(&self, asked: &[LinuxDeviceCgroup]) -> Result<(), RuntimeError> {
        let rules = rules(asked)?;
        if let Some(folder) = self.v1_folder("devices") {
            return State::of(&rules)?.write(folder);
        }
        // In a user namespace no device can be made, and those of the machine are open only as its files are; the
        // kernel takes no program there, and none is needed.
        if !privileged()? {
            return Ok(());
        }
        match self.unified_folder() {
            Some(folder) => device_filter::attach(folder, &rules),
            None => Ok(()),
        }
    }
}

/// Root of the machine, not of a user namespace.
fn privileged() -> Result<bool, RuntimeError> {
    let map = file::read(Path::new("/proc/self/uid_map"))?;
    let whole = map.is_none_or(|map| map.split_whitespace().eq(["0", "0", "4294967295"]));
    Ok(whole && rustix::process::geteuid().is_root())
}

/// What version 1 keeps: a default, and per set of devices the accesses that differ from it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    allows: [bool; 2],
    except: BTreeMap<Devices, u8>,
}

impl State {
    fn of(rules: &[Rule]) -> Result<Self, RuntimeError> {
        let mut state = Self { allows: [false, false], except: BTreeMap::new() };
        for rule in rules {
            state.add(rule)?;
        }
        Ok(state)
    }

    fn add(&mut self, rule: &Rule) -> Result<(), RuntimeError> {
        let Rule { allow, devices, access } = *rule;
        let default = &mut self.allows[usize::from(devices.kind == Kind::Char)];
        if devices.major.is_none() && devices.minor.is_none() && access == ALL {
            *default = allow;
            self.except.retain(|except, _| except.kind != devices.kind);
            return Ok(());
        }
        if *default != allow {
            *self.except.entry(devices).or_insert(0) |= access;
            return Ok(());
        }
        // Back to the default: what was excepted under exactly this name can be taken back, a part of it cannot.
        for (except, left) in &mut self.except {
            if except.meets(&devices) && *left & access != 0 {
                let covers = |wide: Option<u32>, narrow: Option<u32>| wide.is_none() || wide == narrow;
                if covers(devices.major, except.major) && covers(devices.minor, except.minor) {
                    *left &= !access;
                } else {
                    return Err(RuntimeError::Unsupported {
                        what: format!("linux.resources.devices: {}", devices.line(access)),
                        why: format!(
                            "control groups of version 1 cannot take a part out of the rule {}: write the devices one \
                             by one",
                            except.line(*left)
                        ),
                    });
                }
            }
        }
        self.except.retain(|_, left| *left != 0);
        Ok(())
    }

    fn write(&self, folder: &Path) -> Result<(), RuntimeError> {
        let (allow, deny) = (folder.join("devices.allow"), folder.join("devices.deny"));
        let [block, char] = self.allows;
        // The kernel has one default for both kinds. Where they differ, the refusing one is it, and the other kind is
        // allowed whole.
        if block && char {
            file::write(&allow, "a")?;
            return self
                .except
                .iter()
                .try_for_each(|(devices, access)| file::write(&deny, &devices.line(*access)));
        }
        let mut wanted = BTreeMap::new();
        for (kind, allowed) in [(Kind::Block, block), (Kind::Char, char)] {
            if allowed {
                if let Some((except, _)) = self.except.iter().find(|(except, _)| except.kind == kind) {
                    return Err(RuntimeError::Unsupported {
                        what: format!("linux.resources.devices: {}", except.line(ALL)),
                        why: "control groups of version 1 cannot refuse single devices of one kind while the other \
                              kind is refused whole: write the devices one by one"
                            .into(),
                    });
                }
                wanted.insert(Devices { kind, major: None, minor: None }, ALL);
            } else {
                wanted.extend(
                    self.except.iter().filter(|(except, _)| except.kind == kind).map(|(d, a)| (*d, *a)),
                );
            }
        }
        // A running container keeps what stays allowed at every moment.
        match listed(folder)? {
            Some(had) => {
                for (devices, access) in &wanted {
                    file::write(&allow, &devices.line(*access))?;
                }
                for (devices, access) in had {
                    let taken = access & !wanted.get(&devices).copied().unwrap_or(0);
                    if taken != 0 {
                        file::write(&deny, &devices.line(taken))?;
                    }
                }
            }
            None => {
                file::write(&deny, "a")?;
                for (devices, access) in &wanted {
                    file::write(&allow, &devices.line(*access))?;
                }
            }
        }
        Ok(())
    }
}

/// What a group allows now; `None` where it allows everything.
fn listed(folder: &Path) -> Result<Option<Vec<(Devices, u8)>>, RuntimeError> {
    let Some(text) = file::read(&folder.join("devices.list"))? else { return Ok(None) };
    let mut rules = Vec::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split([' ', ':']).collect();
        let (kind, major, minor, access) = match cells[..] {
            ["b", major, minor, access] => (Kind::Block, major, minor, access),
            ["c", major, minor, access] => (Kind::Char, major, minor, access),
            _ => return Ok(None),
        };
        let letters = [('r', READ), ('w', WRITE), ('m', MAKE)];
        let access =
            letters.iter().filter(|(letter, _)| access.contains(*letter)).fold(0, |all, (_, bit)| all | bit);
        rules.push((Devices { kind, major: major.parse().ok(), minor: minor.parse().ok() }, access));
    }
    Ok(Some(rules))
}

#[cfg(test)]
pub(super) fn decide(rules: &[Rule], devices: Devices, access: u8) -> bool {
    [READ, WRITE, MAKE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
        let last = rules.iter().rev().find(|rule| rule.devices.meets(&devices) && rule.access & bit != 0);
        last.is_some_and(|rule| rule.allow)
    })
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;

    use super::*;

    fn asked(
        allow: bool,
        typ: LinuxDeviceType,
        numbers: [Option<i64>; 2],
        access: &str,
    ) -> LinuxDeviceCgroup {
        let mut rule =
            LinuxDeviceCgroupBuilder::default().allow(allow).typ(typ).access(access).build().unwrap();
        rule.set_major(numbers[0]);
        rule.set_minor(numbers[1]);
        rule
    }

    #[test]
    fn nothing_but_the_usual_devices_is_allowed_without_rules() {
        let state = State::of(&rules(&[]).unwrap()).unwrap();
        assert_eq!(state.allows, [false, false]);
        assert_eq!(state.except.len(), 10);
    }

    #[test]
    fn what_is_refused_after_it_was_allowed_is_refused() {
        let null = asked(true, LinuxDeviceType::C, [Some(10), Some(200)], "rwm");
        let mut not = null.clone();
        not.set_allow(false);
        let state = State::of(&rules(&[null.clone(), not.clone()]).unwrap()).unwrap();
        assert!(!state.except.contains_key(&Devices { kind: Kind::Char, major: Some(10), minor: Some(200) }));
        // A part of what a wide rule allows cannot be taken out in version 1, and is not silently left in.
        let wide = asked(true, LinuxDeviceType::C, [Some(10), None], "rw");
        let error = State::of(&rules(&[wide, not]).unwrap()).unwrap_err().to_string();
        assert!(error.contains("c 10:200 rwm") && error.contains("c 10:* rw"), "{error}");
    }

    #[test]
    fn rules_that_are_none_are_named() {
        for (rule, part) in [
            (asked(true, LinuxDeviceType::C, [Some(-5), None], "rw"), "major -5"),
            (asked(true, LinuxDeviceType::C, [None, None], "rx"), "access 'x'"),
            (asked(true, LinuxDeviceType::P, [None, None], "r"), "pipe"),
        ] {
            let error = rules(&[rule]).unwrap_err().to_string();
            assert!(error.contains("linux.resources.devices[0]") && error.contains(part), "{error}");
        }
    }
}
