//! Overlays, mounted in a mount namespace of a copy of the test's process. They need root.

use std::{
    fs,
    os::{
        fd::AsFd,
        unix::fs::{MetadataExt, chown},
    },
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
};

use oci_spec::runtime::LinuxIdMappingBuilder;
use rustix::{
    fs::{XattrFlags, setxattr},
    mount::MountPropagationFlags,
    thread::UnshareFlags,
};

use super::{super::idmap::make_user_namespace, super::probe::probe_overlay, *};
use crate::sys::testing::{alone, in_child, unshare};

struct Folders(tempfile::TempDir);

impl Folders {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs in a mount namespace of its own.
    fn inside(&self, work: impl FnOnce() -> String) -> String {
        assert!(rustix::process::geteuid().is_root(), "this test makes mounts: run it as root");
        in_child(AssertUnwindSafe(|| {
            unshare(UnshareFlags::NEWNS);
            super::super::pivot::isolate().unwrap();
            work()
        }))
        .unwrap_or_else(|error| panic!("{error}"))
    }
}

fn paths(all: &[PathBuf]) -> Vec<&Path> {
    all.iter().map(PathBuf::as_path).collect()
}

#[test]
fn upper_layers_cover_lower_ones_and_writes_go_to_the_upper_folder() {
    alone(|| {
        let folders = Folders::new(&["one", "two", "upper", "work", "merged"]);
        fs::write(folders.at("one/a"), "one").unwrap();
        fs::write(folders.at("two/a"), "two").unwrap();
        fs::write(folders.at("two/b"), "two").unwrap();
        let seen = folders.inside(|| {
            let (one, two, merged) = (folders.at("one"), folders.at("two"), folders.at("merged"));
            let (upper, work) = (folders.at("upper"), folders.at("work"));
            mount_overlay(&[&one, &two], &[], Some((&upper, &work)), &merged, OverlayOptions::default())
                .unwrap();
            fs::write(merged.join("c"), "new").unwrap();
            let seen = ["a", "b"].map(|name| fs::read_to_string(merged.join(name)).unwrap()).join(" ");
            unmount(&merged).unwrap();
            assert!(!merged.join("a").exists());
            seen
        });
        assert_eq!(seen, "one two");
        assert_eq!(fs::read_to_string(folders.at("upper/c")).unwrap(), "new");
    });
}

#[test]
fn more_layers_than_a_page_of_options_holds_can_be_mounted() {
    alone(|| {
        let long = "x".repeat(200);
        let names: Vec<String> = (0..300).map(|number| format!("{number}-{long}/layer")).collect();
        let folders = Folders::new(&names.iter().map(String::as_str).chain(["merged"]).collect::<Vec<_>>());
        for (number, name) in names.iter().enumerate() {
            fs::write(folders.at(name).join(format!("file-{number}")), "").unwrap();
        }
        let count = folders.inside(|| {
            let lowers: Vec<PathBuf> = names.iter().map(|name| folders.at(name)).collect();
            mount_overlay(&paths(&lowers), &[], None, &folders.at("merged"), OverlayOptions::default())
                .unwrap();
            fs::read_dir(folders.at("merged")).unwrap().count().to_string()
        });
        assert_eq!(count, "300");
    });
}

#[test]
fn one_layer_without_an_upper_folder_is_a_read_only_mount() {
    alone(|| {
        let folders = Folders::new(&["one", "merged"]);
        fs::write(folders.at("one/a"), "one").unwrap();
        let seen = folders.inside(|| {
            let merged = folders.at("merged");
            mount_overlay(&[&folders.at("one")], &[], None, &merged, OverlayOptions::default()).unwrap();
            let denied = fs::write(merged.join("b"), "").unwrap_err();
            format!("{} {}", fs::read_to_string(merged.join("a")).unwrap(), denied.kind())
        });
        assert_eq!(seen, "one read-only filesystem or storage medium");
    });
}

#[test]
fn contents_alone_are_found_by_the_redirects_of_the_layers_above() {
    alone(|| {
        let folders = Folders::new(&["meta", "data/ab", "upper", "work", "merged"]);
        fs::write(folders.at("data/ab/cdef"), "large").unwrap();
        for (file, class) in [("trusted-file", "trusted"), ("user-file", "user")] {
            let file = folders.at("meta").join(file);
            fs::File::create(&file).unwrap().set_len(5).unwrap();
            setxattr(&file, format!("{class}.overlay.metacopy"), b"", XattrFlags::empty()).unwrap();
            setxattr(&file, format!("{class}.overlay.redirect"), b"/ab/cdef", XattrFlags::empty()).unwrap();
        }
        for (userxattr, file) in [(false, "trusted-file"), (true, "user-file")] {
            let seen = folders.inside(|| {
                let (meta, data, merged) = (folders.at("meta"), folders.at("data"), folders.at("merged"));
                let (upper, work) = (folders.at("upper"), folders.at("work"));
                let options = OverlayOptions { userxattr, ..OverlayOptions::default() };
                mount_overlay(&[&meta], &[&data], Some((&upper, &work)), &merged, options).unwrap();
                assert!(!merged.join("ab").exists());
                fs::read_to_string(merged.join(file)).unwrap()
            });
            assert_eq!(seen, "large", "{file}");
        }
    });
}

#[test]
fn id_mapped_layers_show_shifted_ids_and_keep_plain_ones_on_disk() {
    alone(|| {
        let folders = Folders::new(&["one", "container/upper", "container/work", "merged"]);
        fs::write(folders.at("one/a"), "one").unwrap();
        chown(folders.at("one/a"), Some(7), Some(8)).unwrap();
        let ids = vec![
            LinuxIdMappingBuilder::default()
                .container_id(0_u32)
                .host_id(500_000_u32)
                .size(65_536_u32)
                .build()
                .unwrap(),
        ];
        let namespace = make_user_namespace(&ids, &ids).unwrap();
        let seen = folders.inside(|| {
            let merged = folders.at("merged");
            let (upper, work) = (folders.at("container/upper"), folders.at("container/work"));
            let options = OverlayOptions { id_map: Some(namespace.as_fd()), ..OverlayOptions::default() };
            mount_overlay(&[&folders.at("one")], &[], Some((&upper, &work)), &merged, options).unwrap();
            let found = fs::metadata(merged.join("a")).unwrap();
            // What the container's own root does, seen from outside.
            chown(merged.join("a"), Some(500_003), Some(500_004)).unwrap();
            format!("{}:{}", found.uid(), found.gid())
        });
        assert_eq!(seen, "500007:500008");
        let kept = fs::metadata(folders.at("container/upper/a")).unwrap();
        assert_eq!((kept.uid(), kept.gid()), (3, 4));
        let below = fs::metadata(folders.at("one/a")).unwrap();
        assert_eq!((below.uid(), below.gid()), (7, 8));
    });
}

#[test]
fn id_mapped_layers_can_be_attached_while_the_overlay_is_made() {
    alone(|| {
        let folders = Folders::new(&["one", "container/upper", "container/work"]);
        fs::write(folders.at("one/a"), "one").unwrap();
        let mapping = LinuxIdMappingBuilder::default().container_id(0_u32).host_id(500_000_u32).size(10_u32);
        let ids = vec![mapping.build().unwrap()];
        let namespace = make_user_namespace(&ids, &ids).unwrap();
        unshare(UnshareFlags::NEWNS);
        mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let before = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let (one, upper, work) =
            (folders.at("one"), folders.at("container/upper"), folders.at("container/work"));
        let layers = Layers { lowers: &[&one], data_only: &[], upper: Some((&upper, &work)) };
        let opened = Opened::open(&layers, Some(namespace.as_fd())).unwrap();
        let mount = configured(&opened, OverlayOptions::default(), Layered::Attached).unwrap();
        drop(opened);
        let found = fs::metadata(format!("{}/a", path_of(mount.as_fd()))).unwrap();
        assert_eq!((found.uid(), found.gid()), (500_000, 500_000));
        assert_eq!(fs::read_to_string("/proc/thread-self/mountinfo").unwrap(), before);
    });
}

#[test]
fn older_kernels_get_layers_by_path_and_by_the_old_call() {
    alone(|| {
        let folders = Folders::new(&["one", "two", "upper", "work", "merged"]);
        fs::write(folders.at("one/a"), "one").unwrap();
        fs::write(folders.at("two/b"), "two").unwrap();
        let seen = folders.inside(|| {
            let (one, two, merged) = (folders.at("one"), folders.at("two"), folders.at("merged"));
            let (upper, work) = (folders.at("upper"), folders.at("work"));
            let layers = Layers { lowers: &[&one, &two], data_only: &[], upper: Some((&upper, &work)) };
            let opened = Opened::open(&layers, None).unwrap();
            old_call(&opened, &merged, OverlayOptions { volatile: true, ..OverlayOptions::default() })
                .unwrap();
            let old = ["a", "b"].map(|name| fs::read_to_string(merged.join(name)).unwrap()).join(" ");
            unmount(&merged).unwrap();

            let context = mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
            let mut told = Told::ByPath;
            for lower in &opened.lowers {
                tell(context.as_fd(), &mut told, "lowerdir+", lower.as_fd()).unwrap();
            }
            mount::fsconfig_create(&context).unwrap();
            let mount =
                mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).unwrap();
            let by_path = fs::read_dir(path_of(mount.as_fd())).unwrap().count();
            format!("{old} {by_path}")
        });
        assert_eq!(seen, "one two 2");
    });
}

#[test]
fn what_overlay_cannot_do_is_said_before_it_is_tried() {
    let options = OverlayOptions { userxattr: true, metacopy: true, ..OverlayOptions::default() };
    let error = mount_overlay(&[Path::new("/")], &[], None, Path::new("/nowhere"), options).unwrap_err();
    assert!(matches!(error, RuntimeError::Unsupported { .. }), "{error}");
}

#[test]
fn the_kernels_words_are_in_the_error() {
    alone(|| {
        let folders = Folders::new(&["one", "merged", "upper"]);
        let error = folders.inside(|| {
            let (one, upper, merged) = (folders.at("one"), folders.at("upper"), folders.at("merged"));
            // The work folder may not be the upper folder.
            let layers = (upper.as_path(), upper.as_path());
            mount_overlay(&[&one], &[], Some(layers), &merged, OverlayOptions::default())
                .unwrap_err()
                .to_string()
        });
        assert!(error.contains("/merged: Invalid argument"), "{error}");
    });
}

#[test]
fn a_missing_layer_is_named() {
    let folders = Folders::new(&["one", "merged"]);
    let (one, gone) = (folders.at("one"), folders.at("gone"));
    let error = mount_overlay(&[&one, &gone], &[], None, &folders.at("merged"), OverlayOptions::default())
        .unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
}

#[test]
fn the_probe_agrees_with_what_mounts_do_here_and_leaves_nothing() {
    let folders = Folders::new(&[]);
    let features = probe_overlay(folders.0.path()).unwrap();
    assert!(features.data_only && features.userxattr_metacopy && features.id_mapped, "{features:?}");
    assert_eq!(fs::read_dir(folders.0.path()).unwrap().count(), 0);
    assert!(probe_overlay(&folders.at("gone")).is_err());
}
