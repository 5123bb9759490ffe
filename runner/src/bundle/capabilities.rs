//! Capabilities by name: the default ten, all of this machine, and what flags make of them.

use std::{collections::BTreeSet, str::FromStr};

use berth_runtime::{CAPABILITIES, kernel_capabilities};
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use crate::error::{Result, RunnerError};

/// What root of a container may unless it is told otherwise.
pub(crate) const DEFAULT: [&str; 10] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
];

/// A capability as it is typed, `net_admin` or `CAP_NET_ADMIN`.
pub(crate) fn name(text: &str) -> Result<&'static str, String> {
    let upper = text.to_ascii_uppercase();
    let wanted = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    let found = CAPABILITIES.iter().find(|name| **name == wanted);
    found
        .copied()
        .ok_or_else(|| format!("{text:?} is no capability, as NET_ADMIN is one; ALL are all of them"))
}

/// All that this process could hand on: its bounding set.
pub(crate) fn all() -> Result<Vec<&'static str>> {
    Ok(kernel_capabilities()?)
}

/// Defaults, then what is added, then what is dropped, as podman: `ALL` dropped leaves what is added by name.
pub(crate) fn choose(
    added: &[String],
    dropped: &[String],
    all: &[&'static str],
) -> Result<Vec<String>, Vec<String>> {
    let mut faults = Vec::new();
    let is_all = |text: &String| text.eq_ignore_ascii_case("all");
    let mut names = |texts: &[String]| -> Vec<&'static str> {
        let named = texts.iter().filter(|text| !is_all(text)).map(|text| name(text));
        named.filter_map(|name| name.map_err(|fault| faults.push(fault)).ok()).collect()
    };
    let (plus, minus) = (names(added), names(dropped));
    let (all_added, all_dropped) = (added.iter().any(is_all), dropped.iter().any(is_all));
    for both in plus.iter().filter(|name| minus.contains(name)) {
        faults.push(format!("{both} is both added and dropped"));
    }
    if all_added && all_dropped {
        faults.push("ALL are both added and dropped".into());
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut set: BTreeSet<&str> = match (all_added, all_dropped) {
        (true, _) => all.iter().copied().collect(),
        (false, true) => BTreeSet::new(),
        (false, false) => DEFAULT.into(),
    };
    set.extend(plus);
    for name in minus {
        set.remove(name);
    }
    Ok(set.into_iter().map(str::to_owned).collect())
}

/// The five sets: all of the bounding ones for root; for others none but those that were asked for by name, which
/// have to be ambient to be there after exec.
pub(super) fn sets(bounding: &[String], added: &[String], uid: u32) -> Result<LinuxCapabilities> {
    let parse = |names: &[String]| -> Result<Capabilities> {
        let parsed = names.iter().map(|name| {
            Capability::from_str(name.trim_start_matches("CAP_"))
                .map_err(|_| RunnerError::Usage(format!("{name} is no capability")))
        });
        parsed.collect()
    };
    let bounding_set = parse(bounding)?;
    let own = if uid == 0 {
        bounding_set.clone()
    } else {
        let both: Vec<String> = added.iter().filter(|name| bounding.contains(name)).cloned().collect();
        parse(&both)?
    };
    let handed_on = if uid == 0 { Capabilities::new() } else { own.clone() };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(bounding_set));
    sets.set_effective(Some(own.clone())).set_permitted(Some(own));
    sets.set_inheritable(Some(handed_on.clone())).set_ambient(Some(handed_on));
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(added: &[&str], dropped: &[&str]) -> Result<Vec<String>, Vec<String>> {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        choose(&own(added), &own(dropped), &CAPABILITIES)
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        assert_eq!(chosen(&[], &[]).unwrap(), DEFAULT);
        assert!(chosen(&["net_admin"], &[]).unwrap().contains(&"CAP_NET_ADMIN".to_owned()));
        assert!(!chosen(&[], &["CAP_KILL"]).unwrap().contains(&"CAP_KILL".to_owned()));
        assert_eq!(chosen(&["kill"], &["all"]).unwrap(), ["CAP_KILL"]);
        assert_eq!(chosen(&["ALL"], &["SYS_ADMIN"]).unwrap().len(), 40);
        assert_eq!(chosen(&["nope", "kill"], &["no", "KILL"]).unwrap_err().len(), 3);
        assert!(chosen(&["all"], &["all"]).is_err());
    }

    #[test]
    fn only_root_has_them_in_effect_unless_they_were_asked_for() {
        let bounding: Vec<String> = DEFAULT.map(str::to_owned).to_vec();
        let root = sets(&bounding, &[], 0).unwrap();
        assert_eq!(root.effective().as_ref().unwrap().len(), 10);
        assert!(
            root.ambient().as_ref().unwrap().is_empty() && root.inheritable().as_ref().unwrap().is_empty()
        );
        let user = sets(&bounding, &[], 1000).unwrap();
        assert_eq!(user.bounding().as_ref().unwrap().len(), 10);
        for set in [user.effective(), user.permitted(), user.inheritable(), user.ambient()] {
            assert!(set.as_ref().unwrap().is_empty());
        }
        let asked = sets(&bounding, &["CAP_KILL".into(), "CAP_SYS_ADMIN".into()], 1000).unwrap();
        let only: Capabilities = [Capability::Kill].into_iter().collect();
        assert_eq!(asked.ambient().as_ref(), Some(&only));
        assert_eq!(asked.effective().as_ref(), Some(&only));
    }

    #[test]
    fn every_name_is_one_of_the_specification() {
        sets(&CAPABILITIES.map(str::to_owned), &[], 0).unwrap();
    }
}
