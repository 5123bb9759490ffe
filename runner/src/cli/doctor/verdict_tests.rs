//! Lines of a machine that is made up.

use berth_runtime::{Calls, Controller, OverlayFeatures, SubIds};

use super::*;

/// A machine on which all is well.
fn well(root: bool) -> Machine {
    let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let limits = names("cpu cpuset io memory pids");
    Machine {
        features: Features {
            kernel: "6.18.0".into(),
            cgroups: CgroupVersion::V2,
            controllers: limits.clone(),
            user_namespaces: true,
            overlay: true,
            seccomp: true,
            seccomp_actions: names("kill_process errno user_notif allow"),
            limits: limits.into_iter().map(|name| Controller { name, version: 2, writable: true }).collect(),
            group_kill: true,
            namespaces: names("cgroup ipc mnt net pid time user uts"),
            unprivileged_user_namespaces: true,
            unprivileged_restricted: false,
            sub_ids: SubIds {
                newuidmap: Some("/usr/bin/newuidmap".into()),
                newgidmap: Some("/usr/bin/newgidmap".into()),
                users: 65_536,
                groups: 65_536,
            },
            calls: Calls {
                mount_api: true,
                openat2: true,
                clone3: true,
                clone_into_cgroup: true,
                pidfd: true,
                close_range: true,
                mount_setattr: true,
            },
            landlock: Some(7),
            apparmor: true,
            selinux: false,
            swap: true,
            swap_limits: Some(true),
        },
        root,
        store: "/var/lib/berth-runner".into(),
        id_mapped: true,
        overlay: Ok(OverlayFeatures { data_only: true, userxattr_metacopy: true, id_mapped: true }),
        ids: Ok((65_537, 65_537)),
        no_network: None,
        runtimes: Vec::new(),
    }
}

/// The line of one name.
fn line(machine: &Machine, name: &str) -> Line {
    lines(machine).into_iter().find(|line| line.name == name).unwrap()
}

#[test]
fn all_is_well_where_all_is_there() {
    for root in [true, false] {
        let lines = lines(&well(root));
        assert!(lines.iter().all(|line| line.verdict == Verdict::Ok && !line.fatal), "{lines:#?}");
    }
}

#[test]
fn whatever_is_not_well_says_what_follows_and_a_way_out() {
    let mut poor = well(false);
    poor.features = Features {
        kernel: "4.18.0".into(),
        cgroups: CgroupVersion::Absent,
        controllers: Vec::new(),
        user_namespaces: false,
        overlay: false,
        seccomp: false,
        seccomp_actions: Vec::new(),
        limits: Vec::new(),
        group_kill: false,
        namespaces: Vec::new(),
        unprivileged_user_namespaces: false,
        unprivileged_restricted: false,
        sub_ids: SubIds::default(),
        calls: Calls::default(),
        landlock: None,
        apparmor: false,
        selinux: false,
        swap: true,
        swap_limits: None,
    };
    poor.overlay = Err("refused".into());
    poor.id_mapped = false;
    poor.ids = Err("refused".into());
    poor.no_network = Some("pasta is not installed".into());
    for root in [true, false] {
        poor.root = root;
        let bad: Vec<_> = lines(&poor).into_iter().filter(|line| line.verdict != Verdict::Ok).collect();
        assert!(bad.len() >= 10, "{bad:#?}");
        for line in bad {
            assert!(
                !line.follows.is_empty() && !line.way_out.is_empty() && !line.found.is_empty(),
                "{line:#?}"
            );
        }
    }
}

#[test]
fn what_no_container_runs_without_is_fatal() {
    let mut machine = well(true);
    machine.features.calls.clone3 = false;
    assert!(line(&machine, "kernel").fatal);
    let mut machine = well(true);
    machine.features.namespaces.retain(|name| name != "pid");
    assert!(line(&machine, "namespaces").fatal);
    let mut machine = well(true);
    machine.features.overlay = false;
    machine.overlay = Ok(OverlayFeatures::default());
    assert!(line(&machine, "overlay").fatal);
    let mut machine = well(false);
    machine.features.kernel = "5.10.0-30-amd64".into();
    assert!(line(&machine, "overlay").fatal, "overlay in user namespaces is of Linux 5.11");
}

#[test]
fn user_namespaces_matter_more_to_ordinary_users_than_to_root() {
    for (root, fatal) in [(true, false), (false, true)] {
        let mut machine = well(root);
        machine.features.user_namespaces = false;
        machine.features.unprivileged_user_namespaces = false;
        let line = line(&machine, "user namespaces");
        assert_eq!((line.verdict, line.fatal), (Verdict::Missing, fatal), "{line:#?}");
    }
}

#[test]
fn root_is_not_asked_for_what_ordinary_users_need() {
    let mut machine = well(true);
    machine.features.sub_ids = SubIds::default();
    assert!(lines(&machine).iter().all(|line| line.verdict == Verdict::Ok));
    machine.root = false;
    assert_eq!(line(&machine, "subordinate ids").verdict, Verdict::Missing);
    assert_eq!(line(&machine, "newuidmap").verdict, Verdict::Missing);
}

#[test]
fn limits_that_cannot_be_held_are_named_by_their_flags() {
    let mut machine = well(false);
    machine.features.limits.retain(|one| one.name == "memory" || one.name == "pids");
    let line = line(&machine, "limits");
    assert_eq!(line.verdict, Verdict::Limited);
    assert_eq!(line.follows, "--cpus, --cpuset-cpus, --device-read-bps cannot be held");
    assert!(line.way_out.contains("Delegate="), "{line:#?}");
}

#[test]
fn u18_a_runtime_with_known_escapes_is_named() {
    let mut machine = well(true);
    let found = |said: &str| outside::Found::new("/usr/bin/runc".into(), said);
    machine.runtimes = vec![found("runc version 1.3.3\nspec: 1.2.0"), found("runc version 1.1.5+ds1\n")];
    let told: Vec<_> = lines(&machine).into_iter().filter(|line| line.name == "other runtime").collect();
    assert_eq!(told[0].verdict, Verdict::Ok);
    assert_eq!(told[1].verdict, Verdict::Limited);
    assert!(told[1].follows.contains("CVE-2025-31133") && told[1].way_out.contains("1.4.0"), "{told:#?}");
    assert_eq!(told[1].found, "/usr/bin/runc: runc version 1.1.5+ds1");
}
