//! Kernels without some calls: a filter answers in their place.

use super::*;
use crate::seccomp::Filter;

/// Takes a system call away from this thread and those that it makes.
fn without(call: &str) {
    let profile = serde_json::from_value(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS}],
    }));
    Filter::compile(&profile.unwrap(), None).unwrap().install().unwrap();
}

fn bundle() -> Bundle {
    let bundle = Bundle::new();
    fs::create_dir(bundle.folder.path().join("source")).unwrap();
    bundle.mount(proc())
}

#[test]
fn before_linux_5_12_mounts_are_changed_where_they_are_attached() {
    alone(|| {
        let mut bundle = bundle()
            .mount(json!({"destination": "/bound", "source": "source", "options": ["bind", "ro", "nosuid", "noatime"]}))
            .mount(json!({"destination": "/run", "type": "tmpfs", "options": ["ro", "nodev"]}))
            .linux("readonlyPaths", json!(["/proc/sys"]))
            .linux("maskedPaths", json!(["/proc/interrupts"]))
            .linux("rootfsPropagation", json!("private"));
        bundle.config["root"]["readonly"] = json!(true);
        without("mount_setattr");
        let seen = bundle
            .run(|| {
                for path in ["/x", "/bound/x", "/run/x", "/proc/sys/kernel/hostname"] {
                    assert_eq!(fs::write(path, "x").unwrap_err().raw_os_error(), Some(30), "{path}");
                }
                assert!(fs::read("/proc/interrupts").unwrap().is_empty());
                mounted("/bound").unwrap().split(' ').nth(5).unwrap().to_owned()
            })
            .unwrap();
        assert_eq!(seen, "ro,nosuid,noatime");
    });
}

#[test]
fn before_linux_5_12_recursive_attributes_and_mapped_ids_are_refused_with_the_way_out() {
    alone(|| {
        without("mount_setattr");
        let mount = json!({"destination": "/bound", "source": "source", "options": ["rbind", "rro"]});
        let error = bundle().mount(mount).run(String::new).unwrap_err();
        assert!(error.contains("mounts[1].options") && error.contains("older than Linux 5.12"), "{error}");
        let ids = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
        let mount = json!({
            "destination": "/bound", "source": "source", "options": ["bind"], "uidMappings": ids, "gidMappings": ids
        });
        let error = bundle().mount(mount).run(String::new).unwrap_err();
        assert!(error.contains("mounts[1]: an id-mapped mount"), "{error}");
    });
}

#[test]
fn without_fsopen_filesystems_are_mounted_by_the_old_call() {
    alone(|| {
        without("fsopen");
        let seen = Bundle::new()
            .mount(proc())
            .mount(
                json!({"destination": "/run", "type": "tmpfs", "options": ["nodev", "size=64k", "mode=711"]}),
            )
            .run(|| mounted("/run").unwrap())
            .unwrap();
        assert!(seen.contains("nodev") && seen.contains("size=64k,mode=711"), "{seen}");
    });
}
