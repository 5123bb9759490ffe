//! Mount options as the kernel shows them afterwards.

use super::*;

fn bind(options: &[&str]) -> Value {
    json!({"destination": "/bound", "source": "source", "options": options})
}

fn with_source() -> Bundle {
    let bundle = Bundle::new();
    fs::create_dir(bundle.folder.path().join("source")).unwrap();
    fs::write(bundle.folder.path().join("source/file"), "bound").unwrap();
    bundle.mount(proc())
}

fn shown(options: &[&str]) -> String {
    with_source().mount(bind(options)).run(|| mounted("/bound").unwrap()).unwrap_or_else(|error| error)
}

#[test]
fn every_option_of_the_specification_is_what_the_kernel_shows() {
    alone(|| {
        for (option, words) in [
            ("ro", "ro"),
            ("nosuid", "nosuid"),
            ("nodev", "nodev"),
            ("noexec", "noexec"),
            ("noatime", "noatime"),
            ("nodiratime", "nodiratime"),
            ("nosymfollow", "nosymfollow"),
            ("relatime", "relatime"),
        ] {
            let line = shown(&["bind", option]);
            let options = line.split(' ').nth(5).unwrap();
            assert!(options.split(',').any(|word| word == words), "{option}: {line}");
        }
        let line = shown(&["bind", "strictatime"]);
        assert!(!line.contains("relatime") && !line.contains("noatime"), "{line}");
        for (first, second) in [("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")] {
            let line = shown(&["bind", first, second]);
            let options: Vec<&str> = line.split(' ').nth(5).unwrap().split(',').collect();
            assert!(!options.contains(&first), "{first} {second}: {line}");
        }
    });
}

#[test]
fn propagation_is_the_hosts_only_when_it_is_asked_for() {
    alone(|| {
        // This machine's / may be private; the test wants a shared one, and wherever the bundle lies.
        unshare(UnshareFlags::NEWNS);
        let all = rustix::mount::MountPropagationFlags::SHARED | rustix::mount::MountPropagationFlags::REC;
        rustix::mount::mount_change("/", all).unwrap();
        let optional = |options: &[&str]| {
            let line = shown(options);
            let fields: Vec<&str> = line.split(' ').skip(6).take_while(|field| *field != "-").collect();
            fields
                .iter()
                .map(|field| field.split(':').next().unwrap().to_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(optional(&["rbind"]), "master");
        assert_eq!(optional(&["rbind", "rprivate"]), "");
        assert_eq!(optional(&["rbind", "rslave"]), "master");
        assert_eq!(optional(&["rbind", "rshared"]), "shared");
        assert_eq!(optional(&["rbind", "rslave", "rshared"]), "shared master");
        assert_eq!(optional(&["rbind", "unbindable"]), "unbindable");
    });
}

#[test]
fn recursive_attributes_reach_the_mounts_below_and_plain_ones_do_not() {
    alone(|| {
        for (option, expected) in [("ro", "written"), ("rro", "Read-only file system (os error 30)")] {
            let bundle = with_source().mount(bind(&["rbind", option]));
            let inner = bundle.folder.path().join("source/inner");
            fs::create_dir(&inner).unwrap();
            let answer = in_child(AssertUnwindSafe(|| {
                unshare(UnshareFlags::NEWNS);
                super::super::pivot::isolate().unwrap();
                rustix::mount::mount("tmpfs", &inner, "tmpfs", rustix::mount::MountFlags::empty(), None)
                    .unwrap();
                bundle
                    .run(|| {
                        assert!(fs::write("/bound/top", "").is_err());
                        fs::write("/bound/inner/x", "")
                            .map_or_else(|error| error.to_string(), |()| "written".into())
                    })
                    .unwrap()
            }));
            assert_eq!(answer.unwrap(), expected, "{option}");
        }
    });
}

#[test]
fn an_option_that_nobody_knows_is_named_with_its_mount() {
    alone(|| {
        let error = shown(&["bind", "frobnicate"]);
        assert_eq!(error, "config.json: mounts[1].options: \"frobnicate\" is no option of a bind mount");
        let bundle =
            Bundle::new().mount(json!({"destination": "/t", "type": "tmpfs", "options": ["sise=4k"]}));
        let error = bundle.run(String::new).unwrap_err();
        assert!(error.contains("mounts[0].options: \"sise=4k\" is no option that tmpfs has"), "{error}");
        let bundle =
            Bundle::new().mount(json!({"destination": "/t", "type": "tmpfs", "options": ["size=many"]}));
        let error = bundle.run(String::new).unwrap_err();
        assert!(error.contains("mounts[0].options: \"size=many\""), "{error}");
    });
}

#[test]
fn a_missing_source_is_named() {
    alone(|| {
        let bundle = Bundle::new()
            .mount(json!({"destination": "/x", "source": "/no/such/folder", "options": ["bind"]}));
        let error = bundle.run(String::new).unwrap_err();
        assert!(error.contains("mounts[0].source: /no/such/folder does not exist"), "{error}");
    });
}

#[test]
fn a_bound_file_gets_a_file_to_lie_on_and_a_folder_a_folder() {
    alone(|| {
        let bundle = with_source()
            .mount(json!({"destination": "/a/b/file", "source": "source/file", "options": ["bind", "ro"]}));
        assert_eq!(bundle.run(|| fs::read_to_string("/a/b/file").unwrap()).unwrap(), "bound");
        assert!(bundle.rootfs().join("a/b/file").is_file());

        fs::write(bundle.rootfs().join("bound"), "").unwrap();
        let error = bundle.mount(bind(&["bind"])).run(String::new).unwrap_err();
        assert!(error.contains("/bound is a file in the image"), "{error}");

        let bundle =
            with_source().mount(json!({"destination": "/a", "source": "source/file", "options": ["bind"]}));
        fs::create_dir(bundle.rootfs().join("a")).unwrap();
        assert!(bundle.run(String::new).unwrap_err().contains("/a is a directory in the image"));
    });
}

#[test]
fn a_remount_changes_what_is_there() {
    alone(|| {
        let bundle = Bundle::new()
            .mount(proc())
            .mount(json!({"destination": "/t", "type": "tmpfs", "options": ["size=64k"]}))
            .mount(
                json!({"destination": "/t", "type": "tmpfs", "options": ["remount", "noexec", "size=128k"]}),
            );
        let line = bundle.run(|| mounted("/t").unwrap()).unwrap();
        assert!(line.contains("noexec") && line.contains("size=128k"), "{line}");
        let bundle = Bundle::new().mount(json!({"destination": "/bin", "options": ["remount", "ro"]}));
        fs::create_dir(bundle.rootfs().join("bin")).unwrap();
        let error = bundle.run(String::new).unwrap_err();
        assert!(error.contains("nothing is mounted at /bin"), "{error}");
    });
}
