//! Devices of the specification.

use super::*;

#[test]
fn devices_have_their_numbers_modes_and_owners() {
    alone(|| {
        let bundle = Bundle::new().mount(json!({"destination": "/dev", "type": "tmpfs", "options": ["mode=755"]})).linux(
            "devices",
            json!([
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 7, "gid": 8},
                {"path": "/dev/deep/loop", "type": "b", "major": 7, "minor": 0, "fileMode": 0o660, "gid": 6},
                {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
                {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o644},
                {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}
            ]),
        );
        let seen = bundle
            .run(|| {
                let words = |path: &str| {
                    let found = fs::metadata(path).unwrap();
                    let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
                    format!("{:o} {}:{} {major}:{minor}", found.mode(), found.uid(), found.gid())
                };
                assert_eq!(fs::read_link("/dev/ptmx").unwrap(), Path::new("pts/ptmx"));
                ["/dev/fuse", "/dev/deep/loop", "/dev/pipe", "/dev/null"].map(words).join("\n")
            })
            .unwrap();
        assert_eq!(seen, "20600 7:8 10:229\n60660 0:6 7:0\n10622 0:0 0:0\n20644 0:0 1:3");
    });
}

#[test]
fn a_bind_of_the_hosts_dev_is_left_as_it_is() {
    alone(|| {
        let bundle = Bundle::new();
        fs::create_dir(bundle.folder.path().join("dev")).unwrap();
        let bundle = bundle.mount(json!({"destination": "/dev/", "source": "dev", "options": ["rbind"]}));
        assert_eq!(bundle.run(|| names("/dev").len().to_string()).unwrap(), "0");
    });
}

#[test]
fn a_device_that_cannot_be_is_refused_with_its_field() {
    alone(|| {
        for (device, field) in [
            (json!({"path": "dev/x", "type": "c", "major": 1, "minor": 3}), "linux.devices[0].path"),
            (json!({"path": "/dev/x", "type": "a", "major": 1, "minor": 3}), "linux.devices[0].type"),
            (json!({"path": "/dev/x", "type": "c", "major": -1, "minor": 3}), "linux.devices[0].major"),
            (
                json!({"path": "/dev/x", "type": "b", "major": 1, "minor": 4_294_967_296_u64}),
                "linux.devices[0].minor",
            ),
        ] {
            let error = Bundle::new().linux("devices", json!([device])).run(String::new).unwrap_err();
            assert!(error.contains(field), "{error}");
        }
    });
}

#[test]
fn the_multiplexer_of_an_image_gives_way_to_that_of_the_containers_own_terminals() {
    alone(|| {
        let bundle = Bundle::new();
        fs::create_dir(bundle.rootfs().join("dev")).unwrap();
        fs::write(bundle.rootfs().join("dev/ptmx"), "").unwrap();
        assert_eq!(bundle.run(|| format!("{:?}", fs::read_link("/dev/ptmx"))).unwrap(), "Ok(\"pts/ptmx\")");
    });
}
