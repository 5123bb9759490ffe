//! Filesystems and control groups.

use super::*;

#[test]
fn a_tmpfs_keeps_the_mode_of_the_folder_that_it_covers() {
    alone(|| {
        let bundle = Bundle::new()
            .mount(json!({"destination": "/tmp", "type": "tmpfs"}))
            .mount(json!({"destination": "/run", "type": "tmpfs", "options": ["mode=0711"]}));
        fs::create_dir(bundle.rootfs().join("tmp")).unwrap();
        fs::set_permissions(bundle.rootfs().join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let modes = bundle
            .run(|| {
                ["/tmp", "/run"]
                    .map(|path| format!("{:o}", fs::metadata(path).unwrap().mode() & 0o7777))
                    .join(" ")
            })
            .unwrap();
        assert_eq!(modes, "1777 711");
    });
}

#[test]
fn tmpcopyup_starts_with_what_the_image_has_and_changes_nothing_of_it() {
    alone(|| {
        let bundle = Bundle::new()
            .mount(json!({"destination": "/etc", "type": "tmpfs", "options": ["tmpcopyup", "ro"]}));
        let etc = bundle.rootfs().join("etc");
        fs::create_dir_all(etc.join("deep/er")).unwrap();
        fs::write(etc.join("deep/er/file"), "words").unwrap();
        fs::set_permissions(etc.join("deep/er/file"), fs::Permissions::from_mode(0o4751)).unwrap();
        std::os::unix::fs::chown(etc.join("deep"), Some(3), Some(4)).unwrap();
        symlink("/outside", etc.join("link")).unwrap();
        let seen = bundle
            .run(|| {
                let file = fs::metadata("/etc/deep/er/file").unwrap();
                let deep = fs::metadata("/etc/deep").unwrap();
                assert!(fs::write("/etc/new", "").is_err());
                format!(
                    "{} {:o} {}:{} {:?}",
                    fs::read_to_string("/etc/deep/er/file").unwrap(),
                    file.mode() & 0o7777,
                    deep.uid(),
                    deep.gid(),
                    fs::read_link("/etc/link").unwrap()
                )
            })
            .unwrap();
        assert_eq!(seen, "words 4751 3:4 \"/outside\"");
        let error = Bundle::new()
            .mount(json!({"destination": "/p", "type": "proc", "options": ["tmpcopyup"]}))
            .run(String::new)
            .unwrap_err();
        assert!(error.contains("tmpcopyup is for mounts of type tmpfs"), "{error}");
    });
}

#[test]
fn a_read_only_tmpfs_takes_its_mounts_and_devices_first() {
    alone(|| {
        let bundle = Bundle::new()
            .mount(json!({"destination": "/dev", "type": "tmpfs", "options": ["ro", "mode=755"]}))
            .mount(json!({"destination": "/dev/shm", "type": "tmpfs", "options": ["mode=1777"]}));
        let seen = bundle
            .run(|| {
                assert!(fs::write("/dev/new", "").is_err());
                fs::write("/dev/shm/new", "").unwrap();
                fs::write("/dev/null", "x").unwrap();
                names("/dev").contains(&"zero".to_owned()).to_string()
            })
            .unwrap();
        assert_eq!(seen, "true");
    });
}

#[test]
fn options_longer_than_the_new_call_takes_go_by_the_old_one() {
    alone(|| {
        let bundle = Bundle::new();
        let lowers: Vec<String> = (0..6)
            .map(|number| {
                let folder = bundle.folder.path().join(format!("{number}-{}", "x".repeat(60)));
                fs::create_dir(&folder).unwrap();
                fs::write(folder.join(format!("file-{number}")), "").unwrap();
                folder.display().to_string()
            })
            .collect();
        let option = format!("lowerdir={}", lowers.join(":"));
        let bundle = bundle.mount(proc()).mount(json!(
            {"destination": "/over", "type": "overlay", "source": "overlay", "options": [option, "nosuid", "rprivate"]}
        ));
        let seen = bundle.run(|| format!("{} {}", names("/over").len(), mounted("/over").unwrap())).unwrap();
        assert!(seen.starts_with("6 ") && seen.contains("nosuid"), "{seen}");
    });
}

#[test]
fn a_filesystem_that_the_kernel_lacks_is_named() {
    alone(|| {
        let bundle = Bundle::new().mount(json!({"destination": "/x", "type": "nosuchfs"}));
        let error = bundle.run(String::new).unwrap_err();
        assert!(error.contains("mounts[0]: the filesystem nosuchfs"), "{error}");
        let error = Bundle::new().mount(json!({"destination": "/x"})).run(String::new).unwrap_err();
        assert!(error.contains("mounts[0].type"), "{error}");
    });
}

#[test]
fn a_container_without_a_mount_namespace_is_refused() {
    alone(|| {
        let error = Bundle::new().linux("namespaces", json!([])).run(String::new).unwrap_err();
        assert!(error.contains("linux.namespaces: has no mount namespace"), "{error}");
    });
}

/// All limits of the container's group as files that it could write.
fn writable(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            writable(&entry.path(), found);
        } else if fs::OpenOptions::new().write(true).open(entry.path()).is_ok() {
            found.push(entry.path());
        }
    }
}

#[test]
fn a_read_only_cgroup_mount_is_read_only_in_every_hierarchy() {
    alone(|| {
        for (options, expected) in
            [(json!(["nosuid", "noexec", "nodev", "relatime", "ro"]), true), (json!([]), false)]
        {
            let bundle = Bundle::new()
                .mount(proc())
                .mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": options}));
            let seen = bundle
                .run(|| {
                    let mut found = Vec::new();
                    writable(Path::new("/sys/fs/cgroup"), &mut found);
                    let made = fs::create_dir("/sys/fs/cgroup/x").is_ok();
                    assert!(names("/sys/fs/cgroup").len() > 3, "{:?}", names("/sys/fs/cgroup"));
                    format!("{} {}", found.is_empty(), !made)
                })
                .unwrap();
            assert_eq!(seen, format!("{expected} {expected}"));
        }
    });
}
