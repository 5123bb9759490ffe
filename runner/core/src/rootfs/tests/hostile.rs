//! Images whose folders are links: nothing of the host changes, and what is mounted is where it should be.

use super::*;

/// A folder of the host beside the root, which no container may reach.
fn outside(bundle: &Bundle) -> PathBuf {
    let outside = bundle.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    outside
}

fn tmpfs(destination: &str) -> Value {
    json!({"destination": destination, "type": "tmpfs", "options": ["mode=755"]})
}

#[test]
fn u14_an_image_whose_dev_is_a_link_changes_nothing_on_the_host() {
    alone(|| {
        let bundle = Bundle::new().mount(tmpfs("/dev"));
        let outside = outside(&bundle);
        symlink(&outside, bundle.rootfs().join("dev")).unwrap();
        let seen = bundle.run(|| format!("{:?}", names("/dev").contains(&"null".to_owned()))).unwrap();
        assert_eq!(seen, "true");
        assert_eq!(names(&outside), ["kept"]);
        // The link's own words, followed inside the root.
        assert!(bundle.rootfs().join(outside.strip_prefix("/").unwrap()).is_dir());
    });
}

#[test]
fn u14_an_image_whose_dev_is_a_link_and_no_dev_is_mounted_changes_nothing_on_the_host() {
    alone(|| {
        let bundle = Bundle::new();
        let outside = outside(&bundle);
        symlink("../outside", bundle.rootfs().join("dev")).unwrap();
        bundle.run(String::new).unwrap();
        assert_eq!(names(&outside), ["kept"]);
        assert!(bundle.rootfs().join("outside/null").exists());
    });
}

#[test]
fn u14_an_image_whose_proc_or_sys_is_a_link_is_refused_with_the_way_out() {
    alone(|| {
        for (name, kind) in [("proc", "proc"), ("sys", "sysfs")] {
            for target in ["/outside", "../outside", "etc"] {
                let bundle = Bundle::new().mount(json!({"destination": format!("/{name}"), "type": kind}));
                let outside = outside(&bundle);
                fs::create_dir(bundle.rootfs().join("etc")).unwrap();
                symlink(target, bundle.rootfs().join(name)).unwrap();
                let error = bundle.run(String::new).unwrap_err();
                assert!(
                    error.contains("mounts[0].destination") && error.contains("symbolic link"),
                    "{error}"
                );
                assert!(error.contains("Replace the link in the image by a directory"), "{error}");
                assert_eq!(names(&outside), ["kept"]);
            }
        }
    });
}

#[test]
fn u14_an_image_whose_etc_is_a_link_gets_its_files_inside_the_root() {
    alone(|| {
        let bundle = Bundle::new();
        let outside = outside(&bundle);
        fs::write(bundle.folder.path().join("hosts"), "127.0.0.1").unwrap();
        let bundle =
            bundle.mount(json!({"destination": "/etc/hosts", "source": "hosts", "options": ["bind"]}));
        symlink(&outside, bundle.rootfs().join("etc")).unwrap();
        assert_eq!(bundle.run(|| fs::read_to_string("/etc/hosts").unwrap()).unwrap(), "127.0.0.1");
        assert_eq!(names(&outside), ["kept"]);
    });
}

#[test]
fn a_link_in_any_component_of_a_destination_leads_nowhere_but_inside() {
    alone(|| {
        let targets =
            ["/", "/outside", "..", "../../outside", "/../../../outside", "gone", "/gone/deep", "b"];
        for component in 0..3 {
            for target in targets {
                let bundle = Bundle::new().mount(tmpfs("/a/b/c"));
                let outside = outside(&bundle);
                let mut at = bundle.rootfs();
                for name in &["a", "b", "c"][..component] {
                    at.push(name);
                }
                fs::create_dir_all(&at).unwrap();
                let target = if target == "/outside" { outside.to_str().unwrap() } else { target };
                symlink(target, at.join(["a", "b", "c"][component])).unwrap();
                let answer = bundle.run(|| {
                    let text = fs::read_to_string("/proc/self/mountinfo");
                    // The container has no /proc of its own here.
                    assert!(text.is_err());
                    fs::write("/a/b/c/mine", "").map_or_else(|error| error.to_string(), |()| String::new())
                });
                if let Err(error) = &answer {
                    let refused =
                        ["is the root itself", "too many links"].iter().any(|rule| error.contains(rule));
                    assert!(refused, "{component} {target}: {error}");
                }
                assert_eq!(names(&outside), ["kept"], "{component} {target}");
                assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
                let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
                assert!(
                    !host.contains(bundle.folder.path().to_str().unwrap()),
                    "{component} {target}: {host}"
                );
            }
        }
    });
}

#[test]
fn u16_links_to_descriptors_lead_to_nothing_of_the_host() {
    alone(|| {
        for target in ["/proc/self/fd", "/proc/self/cwd", "/proc/self/root/etc", "/proc/1/root"] {
            let bundle = Bundle::new().mount(proc()).mount(tmpfs("/a/inner"));
            symlink(target, bundle.rootfs().join("a")).unwrap();
            let error = bundle.run(String::new).unwrap_err();
            assert!(error.contains("mounts[1].destination"), "{target}: {error}");
        }
        // Every descriptor that this process may have, by its number.
        for number in 0..32 {
            let bundle = Bundle::new().mount(proc()).mount(tmpfs("/a"));
            symlink(format!("/proc/self/fd/{number}"), bundle.rootfs().join("a")).unwrap();
            let error = bundle.run(String::new).unwrap_err();
            assert!(error.contains("mounts[1]"), "{number}: {error}");
        }
    });
}

#[test]
fn nothing_is_mounted_inside_procfs_or_over_it() {
    alone(|| {
        let bundle = Bundle::new().mount(proc()).mount(tmpfs("/proc/sys"));
        assert!(bundle.run(String::new).unwrap_err().contains("inside procfs"));
        let bundle = Bundle::new().mount(tmpfs("/proc"));
        assert!(bundle.run(String::new).unwrap_err().contains("give it the type proc"));
        let bundle = Bundle::new().mount(proc()).mount(tmpfs("/a"));
        symlink("proc/sys", bundle.rootfs().join("a")).unwrap();
        assert!(bundle.run(String::new).unwrap_err().contains("inside procfs"));
        // A file system that shows a container's own load covers single files.
        let bundle = Bundle::new();
        fs::write(bundle.folder.path().join("uptime"), "1 2").unwrap();
        let bundle = bundle
            .mount(proc())
            .mount(json!({"destination": "/proc/uptime", "source": "uptime", "options": ["bind"]}));
        assert_eq!(bundle.run(|| fs::read_to_string("/proc/uptime").unwrap()).unwrap(), "1 2");
    });
}

#[test]
fn a_device_is_made_inside_the_root_or_not_at_all() {
    alone(|| {
        let device = json!([{"path": "/a/b/device", "type": "c", "major": 1, "minor": 3}]);
        let bundle = Bundle::new().linux("devices", device.clone());
        let outside = outside(&bundle);
        fs::create_dir(bundle.rootfs().join("a")).unwrap();
        symlink(&outside, bundle.rootfs().join("a/b")).unwrap();
        assert_eq!(bundle.run(|| fs::metadata("/a/b/device").is_ok().to_string()).unwrap(), "true");
        assert_eq!(names(&outside), ["kept"]);

        // The file itself is a link to a file of the host, or of the image.
        for target in ["../outside/kept", "/etc/passwd"] {
            let bundle = Bundle::new().linux("devices", device.clone());
            fs::create_dir_all(bundle.rootfs().join("a/b")).unwrap();
            symlink(target, bundle.rootfs().join("a/b/device")).unwrap();
            let error = bundle.run(String::new).unwrap_err();
            assert!(
                error.contains("linux.devices[0]") && error.contains("is no character device 1:3"),
                "{error}"
            );
        }

        let error = Bundle::new()
            .linux("devices", json!([{"path": "/dev/../../x", "type": "c", "major": 1, "minor": 3}]))
            .run(String::new)
            .unwrap_err();
        assert!(error.contains("linux.devices[0].path"), "{error}");
    });
}

#[test]
fn a_masked_file_that_is_a_link_hides_what_it_leads_to_inside() {
    alone(|| {
        let bundle = Bundle::new().linux("maskedPaths", json!(["/secret"]));
        let outside = outside(&bundle);
        fs::create_dir(bundle.rootfs().join("etc")).unwrap();
        fs::write(bundle.rootfs().join("etc/key"), "key").unwrap();
        symlink("/etc/key", bundle.rootfs().join("secret")).unwrap();
        assert_eq!(bundle.run(|| fs::read_to_string("/etc/key").unwrap()).unwrap(), "");
        assert_eq!(fs::read_to_string(bundle.rootfs().join("etc/key")).unwrap(), "key");
        assert_eq!(names(&outside), ["kept"]);
    });
}
