//! Rules of user namespaces' ids.

use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Process, Spec};

use super::{Faults, has};

/// Lines of a `uid_map` (user_namespaces(7)).
const MOST_MAPPINGS: usize = 340;

type Ids<'a> = (&'static str, &'a [LinuxIdMapping]);

fn mappings(spec: &Spec) -> [Ids<'_>; 2] {
    let linux = spec.linux().as_ref();
    [
        ("linux.uidMappings", linux.and_then(|linux| linux.uid_mappings().as_deref()).unwrap_or_default()),
        ("linux.gidMappings", linux.and_then(|linux| linux.gid_mappings().as_deref()).unwrap_or_default()),
    ]
}

fn maps(mappings: &[LinuxIdMapping], id: u32) -> bool {
    mappings.iter().any(|mapping| {
        let first = u64::from(mapping.container_id());
        (first..first + u64::from(mapping.size())).contains(&u64::from(id))
    })
}

fn overlap(one: (u32, u32), other: (u32, u32)) -> bool {
    let end = |(first, size): (u32, u32)| u64::from(first) + u64::from(size);
    u64::from(one.0) < end(other) && u64::from(other.0) < end(one)
}

pub(super) fn check_mappings(spec: &Spec, faults: &mut Faults) {
    for (field, mappings) in mappings(spec) {
        match has(spec, LinuxNamespaceType::User) {
            None => faults.unless(mappings.is_empty(), field, "needs a user namespace in linux.namespaces"),
            // Those of the namespace that is joined hold.
            Some(Some(_)) => {}
            Some(None) if mappings.is_empty() => faults.add(field, "is empty: a new user namespace needs mappings"),
            Some(None) => faults.unless(
                maps(mappings, 0),
                field,
                "does not map id 0 of the container, which its first process has to be while the container is made",
            ),
        }
        if mappings.len() > MOST_MAPPINGS {
            faults.add(field, format!("has {} ranges, and the kernel takes {MOST_MAPPINGS}", mappings.len()));
            continue;
        }
        for (at, mapping) in mappings.iter().enumerate() {
            let here = format!("{field}[{at}]");
            faults.unless(mapping.size() > 0, &here, "maps no ids: its size is 0");
            let beyond = |first: u32| u64::from(first) + u64::from(mapping.size()) > u64::from(u32::MAX);
            faults.unless(
                !beyond(mapping.container_id()) && !beyond(mapping.host_id()),
                &here,
                "goes beyond the last id",
            );
            for (earlier, other) in mappings[..at].iter().enumerate() {
                let inside = |mapping: &LinuxIdMapping| (mapping.container_id(), mapping.size());
                let outside = |mapping: &LinuxIdMapping| (mapping.host_id(), mapping.size());
                faults.unless(
                    !overlap(inside(mapping), inside(other)) && !overlap(outside(mapping), outside(other)),
                    &here,
                    format!("maps ids that {field}[{earlier}] maps too"),
                );
            }
        }
    }
}

pub(super) fn check_user(spec: &Spec, process: &Process, faults: &mut Faults) {
    if has(spec, LinuxNamespaceType::User) != Some(None) {
        return;
    }
    let [(_, uids), (_, gids)] = mappings(spec);
    let user = process.user();
    let rule = |id: u32, field: &str| format!("{id} is not mapped by {field}");
    let groups = user.additional_gids().as_deref().unwrap_or_default();
    // Empty mappings are a fault of their own.
    if !uids.is_empty() {
        faults.unless(maps(uids, user.uid()), "process.user.uid", rule(user.uid(), "linux.uidMappings"));
    }
    if !gids.is_empty() {
        faults.unless(maps(gids, user.gid()), "process.user.gid", rule(user.gid(), "linux.gidMappings"));
        for gid in groups {
            faults.unless(maps(gids, *gid), "process.user.additionalGids", rule(*gid, "linux.gidMappings"));
        }
    }
}
