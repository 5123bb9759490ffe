//! Roots of containers with a user namespace, and mounts with mapped ids.

use std::os::unix::fs::chown;

use super::*;
use crate::{OverlayOptions, make_user_namespace, mount_overlay};

const FIRST: u32 = 700_000;

fn in_user_namespace(mut bundle: Bundle) -> Bundle {
    bundle.user_namespace = Some(make_user_namespace(&ids(FIRST), &ids(FIRST)).unwrap());
    bundle
}

/// The folders above the root can be passed by everybody, as those of a runner have to be.
fn open_up(bundle: &Bundle) {
    fs::set_permissions(bundle.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(bundle.rootfs(), Some(FIRST), Some(FIRST)).unwrap();
}

#[test]
fn a_user_namespace_gets_devices_and_kernel_filesystems_of_the_host() {
    alone(|| {
        let bundle = Bundle::new()
            .mount(proc())
            .mount(json!({"destination": "/dev", "type": "tmpfs", "options": ["nosuid", "mode=755"]}))
            .mount(json!({"destination": "/dev/pts", "type": "devpts", "options": ["newinstance", "gid=70000"]}))
            .mount(json!({"destination": "/sys", "type": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}))
            .mount(json!({"destination": "/dev/mqueue", "type": "mqueue", "options": ["nosuid"]}));
        open_up(&bundle);
        let seen = in_user_namespace(bundle)
            .run(|| {
                fs::write("/dev/null", "x").unwrap();
                assert_eq!(fs::metadata("/dev/full").unwrap().rdev(), rustix::fs::makedev(1, 7));
                assert!(!fs::read("/proc/self/status").unwrap().is_empty());
                assert!(fs::metadata("/sys/kernel").is_ok());
                assert!(mounted("/dev/pts").unwrap().contains("devpts"));
                mounted("/sys").unwrap().split(' ').nth(5).unwrap().to_owned()
            })
            .unwrap();
        assert_eq!(seen, "ro,nosuid,nodev,noexec,relatime");
    });
}

#[test]
fn a_root_behind_folders_that_the_containers_root_cannot_pass_is_mounted_all_the_same() {
    alone(|| {
        let bundle = Bundle::new();
        open_up(&bundle);
        fs::write(bundle.folder.path().join("secret"), "bound").unwrap();
        fs::set_permissions(bundle.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let bundle =
            bundle.mount(json!({"destination": "/secret", "source": "secret", "options": ["bind", "ro"]}));
        let seen = in_user_namespace(bundle).run(|| fs::read_to_string("/secret").unwrap());
        assert_eq!(seen.unwrap(), "bound");
    });
}

#[test]
fn an_id_mapped_bind_shows_the_containers_ids() {
    alone(|| {
        for (option, mapped) in [("bind", "65534:65534"), ("idmap", "5:6")] {
            let bundle = Bundle::new();
            open_up(&bundle);
            let source = bundle.folder.path().join("source");
            fs::create_dir(&source).unwrap();
            fs::write(source.join("file"), "").unwrap();
            chown(source.join("file"), Some(5), Some(6)).unwrap();
            let bundle = bundle
                .mount(json!({"destination": "/bound", "source": "source", "options": ["bind", option]}));
            let seen = in_user_namespace(bundle).run(|| {
                let found = fs::metadata("/bound/file").unwrap();
                format!("{}:{}", found.uid(), found.gid())
            });
            assert_eq!(seen.unwrap(), mapped, "{option}");
        }
    });
}

#[test]
fn a_mounts_own_mappings_hold_for_it_alone() {
    alone(|| {
        let bundle = Bundle::new();
        let source = bundle.folder.path().join("source");
        fs::create_dir(&source).unwrap();
        let mappings = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
        let bundle = bundle.mount(json!({
            "destination": "/bound", "source": "source", "options": ["bind"],
            "uidMappings": mappings, "gidMappings": mappings
        }));
        let seen = bundle.run(|| {
            let found = fs::metadata("/bound").unwrap();
            format!("{}:{}", found.uid(), found.gid())
        });
        assert_eq!(seen.unwrap(), "1000:1000");
    });
}

#[test]
fn id_maps_that_mean_nothing_are_refused() {
    alone(|| {
        let mount = |options: Value| json!({"destination": "/b", "source": "/etc", "options": options});
        let error = Bundle::new().mount(mount(json!(["bind", "idmap"]))).run(String::new).unwrap_err();
        assert!(error.contains("mounts[0].options") && error.contains("user namespace"), "{error}");
        let mut half = mount(json!(["bind"]));
        half["uidMappings"] = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
        let error = Bundle::new().mount(half).run(String::new).unwrap_err();
        assert!(error.contains("given both or not at all"), "{error}");
        let tmpfs = json!({"destination": "/t", "type": "tmpfs", "options": ["idmap"]});
        assert!(Bundle::new().mount(tmpfs).run(String::new).unwrap_err().contains("for bind mounts"));
    });
}

#[test]
fn what_a_container_writes_into_a_mapped_overlay_has_plain_ids_on_disk() {
    alone(|| {
        unshare(UnshareFlags::NEWNS);
        super::super::pivot::isolate().unwrap();
        let bundle = in_user_namespace(Bundle::new());
        open_up(&bundle);
        let at = |name: &str| bundle.folder.path().join(name);
        for name in ["lower", "container/upper", "container/work"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["gone", "kept"] {
            fs::write(at("lower").join(name), "x").unwrap();
        }
        let options = OverlayOptions {
            id_map: bundle.user_namespace.as_ref().map(AsFd::as_fd),
            ..OverlayOptions::default()
        };
        let (upper, work) = (at("container/upper"), at("container/work"));
        mount_overlay(&[&at("lower")], &[], Some((&upper, &work)), &bundle.rootfs(), options).unwrap();
        let seen = bundle.run(|| {
            fs::write("/new", "").unwrap();
            chown("/new", Some(9), Some(10)).unwrap();
            fs::remove_file("/gone").unwrap();
            fs::create_dir("/folder").unwrap();
            let kept = fs::metadata("/kept").unwrap();
            format!("{}:{} {:?}", kept.uid(), kept.gid(), names("/"))
        });
        assert_eq!(seen.unwrap(), r#"0:0 ["dev", "folder", "kept", "new"]"#);
        let owner = |name: &str| {
            let found = fs::symlink_metadata(upper.join(name)).unwrap();
            (found.uid(), found.gid(), found.rdev())
        };
        assert_eq!(owner("new"), (9, 10, 0));
        assert_eq!(owner("folder"), (0, 0, 0));
        // A whiteout.
        assert!(fs::symlink_metadata(upper.join("gone")).unwrap().file_type().is_char_device());
    });
}
