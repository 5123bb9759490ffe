//! Resolution against generated trees of links: as the kernel does it, and never outside.

use std::{fs as files, os::unix::fs::symlink, path::PathBuf};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Entry {
    Folder,
    File,
    Link(String),
}

/// Names of few letters, so that paths meet; links and destinations also go up, and to where the root lies outside.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![3 => "[abc]", 1 => Just("..".to_owned()), 1 => Just(".".to_owned())];
    let parts = proptest::collection::vec(part, 1..5);
    (any::<bool>(), parts)
        .prop_map(|(absolute, parts)| format!("{}{}", if absolute { "/" } else { "" }, parts.join("/")))
}

fn entry() -> impl Strategy<Value = (Vec<String>, Entry)> {
    let kind = prop_oneof![
        2 => Just(Entry::Folder),
        1 => Just(Entry::File),
        4 => path().prop_map(Entry::Link),
        1 => Just(Entry::Link("OUTSIDE".to_owned())),
        1 => Just(Entry::Link("../outside".to_owned())),
        1 => Just(Entry::Link("/proc/self/fd/0".to_owned())),
        1 => Just(Entry::Link("/proc/self/root".to_owned())),
    ];
    (proptest::collection::vec("[abc]", 1..4), kind)
}

struct Tree {
    folder: tempfile::TempDir,
    root: OwnedFd,
}

impl Tree {
    /// Entries that do not fit where they should go are left out.
    fn new(entries: &[(Vec<String>, Entry)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        files::create_dir(&root).unwrap();
        files::create_dir(&outside).unwrap();
        files::write(outside.join("kept"), "kept").unwrap();
        for (parts, entry) in entries {
            let mut at = root.clone();
            for part in parts {
                // A link on the way would put it elsewhere, maybe outside.
                if at.is_symlink() || (at.symlink_metadata().is_err() && files::create_dir(&at).is_err()) {
                    break;
                }
                at.push(part);
            }
            if at.parent().unwrap().is_symlink() || at.symlink_metadata().is_ok() {
                continue;
            }
            let made = match entry {
                Entry::Folder => files::create_dir(&at),
                Entry::File => files::write(&at, ""),
                Entry::Link(target) if target == "OUTSIDE" => symlink(&outside, &at),
                Entry::Link(target) => symlink(target, &at),
            };
            // A file may stand on the way.
            drop(made);
        }
        let root = fs::openat(CWD, &root, PLACE | OFlags::DIRECTORY, Mode::empty()).unwrap();
        Self { folder, root }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn outside_is_whole(&self) -> bool {
        let outside = self.folder.path().join("outside");
        files::read_dir(&outside).unwrap().count() == 1
            && files::read_to_string(outside.join("kept")).unwrap() == "kept"
            && files::read_dir(self.folder.path()).unwrap().count() == 2
    }
}

fn identity(file: &OwnedFd) -> (u64, u64) {
    let found = fs::fstat(file).unwrap();
    (found.st_dev, found.st_ino)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_made_is_inside_and_of_the_kind_that_was_asked_for(
        entries in proptest::collection::vec(entry(), 0..12),
        destination in path(),
        is_folder in any::<bool>(),
        follow in any::<bool>(),
    ) {
        let tree = Tree::new(&entries);
        let (kind, links) = (
            if is_folder { Kind::Directory } else { Kind::File },
            if follow { Links::Followed } else { Links::Refused },
        );
        let before = existing(tree.root.as_fd(), Path::new(&destination), links);
        let answer = made(tree.root.as_fd(), Path::new(&destination), kind, links);
        prop_assert!(tree.outside_is_whole());
        if let Ok(place) = answer {
            let at = PathBuf::from(Descriptors::open().unwrap().path_of(place.as_fd()).unwrap());
            prop_assert!(at.starts_with(tree.path()), "{}", at.display());
            prop_assert_eq!(Kind::of(place.as_fd()).unwrap(), kind);
            let again = existing(tree.root.as_fd(), Path::new(&destination), links).unwrap();
            prop_assert_eq!(identity(&place), identity(&again));
            if let Ok(before) = before {
                prop_assert_eq!(identity(&place), identity(&before));
            }
        }
    }

    #[test]
    fn the_walk_by_hand_arrives_where_the_kernel_does(
        entries in proptest::collection::vec(entry(), 0..12),
        destination in path(),
    ) {
        let tree = Tree::new(&entries);
        if let Ok(kernel) = existing(tree.root.as_fd(), Path::new(&destination), Links::Followed) {
            let kind = Kind::of(kernel.as_fd()).unwrap();
            let walked = walk(tree.root.as_fd(), Path::new(&destination), kind, Links::Followed).unwrap();
            prop_assert_eq!(identity(&walked), identity(&kernel));
        }
    }
}

#[test]
fn a_link_that_leads_nowhere_yet_gets_its_target_inside() {
    let tree = Tree::new(&[(vec!["a".into()], Entry::Link("/b/c".into()))]);
    made(tree.root.as_fd(), Path::new("/a/file"), Kind::File, Links::Followed).unwrap();
    assert!(tree.path().join("b/c/file").is_file());
}

#[test]
fn links_in_a_circle_end() {
    let link = |name: &str, to: &str| (vec![name.to_owned()], Entry::Link(to.to_owned()));
    let tree = Tree::new(&[link("a", "b"), link("b", "a")]);
    let errno = made(tree.root.as_fd(), Path::new("/a/c"), Kind::Directory, Links::Followed).unwrap_err();
    assert_eq!(errno, Errno::LOOP);
    let walked = walk(tree.root.as_fd(), Path::new("/a/c"), Kind::Directory, Links::Followed).unwrap_err();
    assert_eq!(walked, Errno::LOOP);
}

#[test]
fn a_link_of_procfs_that_is_no_path_is_refused_by_the_walk_too() {
    let proc = fs::openat(CWD, "/proc/self", PLACE | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for path in ["root/etc", "cwd", "fd/0/x"] {
        let walked = walk(proc.as_fd(), Path::new(path), Kind::Directory, Links::Followed).unwrap_err();
        assert_eq!(walked, Errno::LOOP, "{path}");
        let kernel = existing(proc.as_fd(), Path::new(path), Links::Followed).unwrap_err();
        assert_eq!(kernel, Errno::LOOP, "{path}");
    }
}
