use super::*;

/// A record with nothing special.
pub(crate) fn desired(name: &str, seed: u8) -> Desired {
    let id = format!("{seed:02x}").repeat(32);
    let isolation = Isolation {
        pid: Namespace::Private,
        ipc: Namespace::Private,
        uts: Namespace::Private,
        cgroup: Namespace::Private,
        user: UserNamespace::Host,
    };
    Desired {
        id: id.parse().unwrap(),
        name: name.to_owned(),
        created: Timestamp::from_second(i64::from(seed)).unwrap(),
        image: None,
        rootfs: Some("/nowhere".into()),
        labels: Default::default(),
        annotations: Default::default(),
        process: ProcessWants::default(),
        mounts: Vec::new(),
        devices: Vec::new(),
        security: Security {
            privileged: false,
            capabilities: Vec::new(),
            added_capabilities: Vec::new(),
            no_new_privileges: true,
            seccomp: Seccomp::Default,
            apparmor: None,
            selinux: None,
            read_only: false,
            read_only_tmpfs: true,
            masked: Vec::new(),
            unmasked: Vec::new(),
            proc_options: Vec::new(),
            sysctl: Default::default(),
        },
        limits: Limits::default(),
        isolation,
        network: NetworkWants {
            mode: NetworkMode::None,
            ports: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            hosts: Vec::new(),
            no_hosts: false,
        },
        restart: RestartPolicy::No,
        health: None,
        stop_signal: 15,
        stop_timeout: 10,
        log: LogOptions::default(),
        auto_remove: false,
        runtime: None,
        create_command: Vec::new(),
        timeout: None,
        pid_file: None,
        supervisor_pid_file: None,
        attach: AttachOptions::default(),
    }
}

fn records(folder: &tempfile::TempDir) -> Records {
    Records::new(&Folders { store: folder.path().join("store"), run: folder.path().join("run") })
}

#[test]
fn a_container_is_found_by_name_by_id_and_by_the_beginning_of_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(&folder);
    records.create(&desired("web", 0xab)).unwrap();
    records.create(&desired("db", 0xac)).unwrap();
    assert_eq!(records.find("web").unwrap().id.as_str(), "ab".repeat(32));
    assert_eq!(records.find(&"ac".repeat(32)).unwrap().name, "db");
    assert_eq!(records.find("aba").unwrap().name, "web");
    assert!(matches!(records.find("a"), Err(RunnerError::Usage(_))));
    for absent in ["cache", "../web", "", ".new-x", "names"] {
        assert!(matches!(records.find(absent), Err(RunnerError::NotFound(_))), "{absent:?}");
    }
}

#[test]
fn a_name_belongs_to_one_container_until_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(&folder);
    let first = desired("web", 1);
    records.create(&first).unwrap();
    let taken = records.create(&desired("web", 2)).unwrap_err();
    assert!(matches!(&taken, RunnerError::Conflict(text) if text.contains(first.id.as_str())), "{taken}");
    assert_eq!(records.all().unwrap().0.len(), 1, "nothing of the second stays");
    records.remove(&first.id).unwrap();
    records.remove(&first.id).unwrap();
    records.create(&desired("web", 2)).unwrap();
    assert_eq!(records.find("web").unwrap().id.as_str(), "02".repeat(32));
}

#[test]
fn a_renamed_container_leaves_its_old_name_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(&folder);
    let mut web = desired("web", 1);
    records.create(&web).unwrap();
    records.create(&desired("db", 2)).unwrap();
    web.name = "db".to_owned();
    assert!(matches!(records.replace(&web), Err(RunnerError::Conflict(_))));
    web.name = "front".to_owned();
    records.replace(&web).unwrap();
    assert!(records.find("web").is_err());
    assert_eq!(records.find("front").unwrap().id, web.id);
    records.create(&desired("web", 3)).unwrap();
}

#[test]
fn a_name_left_by_a_crash_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(&folder);
    std::fs::create_dir_all(records.names()).unwrap();
    std::fs::write(records.names().join("web"), "cd".repeat(32)).unwrap();
    assert!(records.find("web").is_err());
    records.create(&desired("web", 1)).unwrap();
    assert_eq!(records.find("web").unwrap().id.as_str(), "01".repeat(32));
}

#[test]
fn containers_are_listed_by_age_and_damaged_ones_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(&folder);
    assert!(records.all().unwrap().0.is_empty());
    records.create(&desired("young", 9)).unwrap();
    records.create(&desired("old", 3)).unwrap();
    let damaged = desired("damaged", 5);
    records.create(&damaged).unwrap();
    std::fs::write(records.folders().container(&damaged.id).join("desired.json"), "{").unwrap();
    let (found, broken) = records.all().unwrap();
    assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["old", "young"]);
    assert_eq!(broken, [records.folders().container(&damaged.id)]);
}

#[test]
fn how_a_run_ended_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let records = records(&folder);
    let web = desired("web", 1);
    records.create(&web).unwrap();
    assert_eq!(records.exit(&web.id).unwrap(), None);
    let exit = Exit {
        started: None,
        finished: Timestamp::UNIX_EPOCH,
        code: 137,
        oom_killed: true,
        restarts: 2,
        error: None,
    };
    records.ended(&web.id, &exit).unwrap();
    assert_eq!(records.exit(&web.id).unwrap(), Some(exit));
}

#[test]
fn names_are_files_and_hosts() {
    for good in ["a", "web-1", "A.b_c", &"x".repeat(255)] {
        check_name(good).unwrap();
    }
    for bad in ["", "-a", ".a", "a/b", "a b", "é", &"x".repeat(256)] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn nobody_waits_while_a_large_container_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
    let records = Records::new(&folders);
    let large = desired("large", 1);
    records.create(&large).unwrap();
    let upper = folders.container(&large.id).join("upper");
    fs::create_dir(&upper).unwrap();
    for number in 0..60_000 {
        fs::File::create(upper.join(number.to_string())).unwrap();
    }
    let gone = folders.containers().join(format!(".gone-{}", large.id));
    std::thread::scope(|scope| {
        let removal = scope.spawn(|| records.remove(&large.id));
        while !gone.exists() {
            assert!(!removal.is_finished(), "it was never renamed");
            std::thread::yield_now();
        }
        let _lock = files::lock(&folders.containers()).unwrap();
        assert!(gone.exists(), "the lock was held until all of it was deleted");
        removal.join().unwrap().unwrap();
    });
    assert!(!gone.exists());
}
