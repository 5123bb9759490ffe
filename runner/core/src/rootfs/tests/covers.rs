//! Masked paths, read-only paths, the read-only root and its propagation, and both ways in.

use rustix::mount::{MountPropagationFlags, mount_change};

use super::*;

#[test]
fn masked_files_are_empty_and_masked_folders_too() {
    alone(|| {
        let bundle = Bundle::new().mount(proc()).linux(
            "maskedPaths",
            json!(["/proc/interrupts", "/proc/cpuinfo", "/proc/acpi", "/etc", "/var", "/gone"]),
        );
        for folder in ["etc", "var"] {
            fs::create_dir(bundle.rootfs().join(folder)).unwrap();
            fs::write(bundle.rootfs().join(folder).join("secret"), "secret").unwrap();
        }
        let seen = bundle
            .run(|| {
                for folder in ["/etc", "/var"] {
                    assert!(names(folder).is_empty());
                    assert!(fs::write(Path::new(folder).join("new"), "").is_err());
                }
                let null = fs::metadata("/proc/interrupts").unwrap();
                assert!(null.file_type().is_char_device() && null.rdev() == rustix::fs::makedev(1, 3));
                ["/proc/interrupts", "/proc/cpuinfo"]
                    .map(|path| fs::read(path).unwrap().len().to_string())
                    .join(" ")
            })
            .unwrap();
        assert_eq!(seen, "0 0");
    });
}

#[test]
fn read_only_paths_cannot_be_written_nor_what_is_mounted_below_them() {
    alone(|| {
        let bundle = Bundle::new()
            .mount(proc())
            .mount(json!({"destination": "/data/inner", "type": "tmpfs"}))
            .linux("readonlyPaths", json!(["/proc/sys", "/data", "/file", "/gone/away"]));
        fs::write(bundle.rootfs().join("file"), "words").unwrap();
        let seen = bundle
            .run(|| {
                for path in ["/proc/sys/kernel/hostname", "/data/x", "/data/inner/x", "/file"] {
                    let error = fs::write(path, "x").unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(30), "{path}: {error}");
                }
                fs::write("/elsewhere", "").unwrap();
                fs::read_to_string("/file").unwrap()
            })
            .unwrap();
        assert_eq!(seen, "words");
    });
}

#[test]
fn a_read_only_root_is_read_only_and_what_is_mounted_in_it_is_not() {
    alone(|| {
        let mut bundle = Bundle::new().mount(json!({"destination": "/run", "type": "tmpfs"}));
        bundle.config["root"]["readonly"] = json!(true);
        let seen = bundle.run(|| {
            fs::write("/run/x", "").unwrap();
            fs::write("/x", "").unwrap_err().to_string()
        });
        assert_eq!(seen.unwrap(), "Read-only file system (os error 30)");
    });
}

#[test]
fn the_roots_propagation_is_what_the_specification_says() {
    alone(|| {
        for (word, field) in [("shared", "shared:"), ("rshared", "shared:"), ("unbindable", "unbindable")] {
            let bundle = Bundle::new().mount(proc()).linux("rootfsPropagation", json!(word));
            let line = bundle.run(|| mounted("/").unwrap()).unwrap();
            assert!(line.contains(field), "{word}: {line}");
        }
        for word in ["private", "slave"] {
            let bundle = Bundle::new().mount(proc()).linux("rootfsPropagation", json!(word));
            let line = bundle.run(|| mounted("/").unwrap()).unwrap();
            assert!(!line.contains("shared:"), "{word}: {line}");
        }
        let bundle = Bundle::new().linux("rootfsPropagation", json!("rbogus"));
        assert!(bundle.run(String::new).unwrap_err().contains("linux.rootfsPropagation"));
    });
}

#[test]
fn no_mount_of_the_host_is_left_in_the_container() {
    alone(|| {
        for no_pivot in [false, true] {
            let mut bundle = Bundle::new().mount(proc());
            bundle.no_pivot = no_pivot;
            let seen = bundle
                .run(|| {
                    let info = fs::read_to_string("/proc/self/mountinfo").unwrap();
                    let points: Vec<&str> = info.lines().filter_map(|line| line.split(' ').nth(4)).collect();
                    // Up from the root is the root.
                    assert_eq!(names("/"), names("/../../.."));
                    points.join(" ")
                })
                .unwrap();
            assert_eq!(seen, "/ /proc", "no_pivot: {no_pivot}");
        }
    });
}

#[test]
fn a_root_that_is_not_there_is_named() {
    alone(|| {
        let mut bundle = Bundle::new();
        bundle.config["root"]["path"] = json!("gone");
        let error = bundle.run(String::new).unwrap_err();
        assert!(error.contains("root.path") && error.contains("gone does not exist"), "{error}");
        fs::write(bundle.folder.path().join("gone"), "").unwrap();
        let error = bundle.run(String::new).unwrap_err();
        assert!(error.contains("root.path") && error.contains("is not a directory"), "{error}");
    });
}

#[test]
fn nothing_is_mounted_on_a_host_that_shares_its_mounts() {
    alone(|| {
        unshare(UnshareFlags::NEWNS);
        // A host of the test's own: first nobody's peer, then shared.
        for kind in [MountPropagationFlags::PRIVATE, MountPropagationFlags::SHARED] {
            mount_change("/", kind | MountPropagationFlags::REC).unwrap();
        }
        let before = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(before.contains("shared:"));
        for no_pivot in [false, true] {
            let mut bundle =
                Bundle::new().mount(proc()).mount(json!({"destination": "/run", "type": "tmpfs"}));
            bundle.no_pivot = no_pivot;
            bundle.run(String::new).unwrap();
            assert_eq!(
                fs::read_to_string("/proc/thread-self/mountinfo").unwrap(),
                before,
                "no_pivot: {no_pivot}"
            );
        }
    });
}
