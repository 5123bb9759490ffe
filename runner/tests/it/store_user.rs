//! The store of an ordinary user: the marks of layers are overlay's `user.*` ones, files have the user's own ids.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use crate::{
    bundle_user::{Home, SubordinateIds, USER},
    program::Runner,
};

const NONE: [&str; 3] = ["run", "--network", "none"];

/// The home of a user that has an image with some files to be changed.
fn home() -> Option<Home> {
    let home = Home::with(|root| {
        fs::create_dir_all(root.join("srv/folder/deep")).unwrap();
        fs::create_dir_all(root.join("srv/emptied")).unwrap();
        for name in ["gone", "kept", "folder/one", "folder/deep/two", "emptied/old"] {
            fs::write(root.join("srv").join(name), name).unwrap();
        }
        fs::write(root.join("srv/large"), [7; 300_000]).unwrap();
        chown(root.join("srv/kept"), Some(33), Some(34)).unwrap();
    })?;
    Some(home)
}

fn all(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            all(&path, found);
        }
        found.push(path);
    }
}

#[test]
fn a_user_deletes_what_lower_layers_have_commits_it_and_root_takes_it_over() {
    let Some(home) = home() else { return };
    let _ids = SubordinateIds::new();
    home.import();
    let script = "rm /srv/gone; busybox rm -r /srv/folder; busybox rm -r /srv/emptied; mkdir /srv/emptied; \
         touch /srv/emptied/new; echo more >>/srv/large; touch /srv/web; busybox chown 33:34 /srv/web";
    home.ok(&[&NONE[..], &["--name", "c", "test:latest", "sh", "-c", script]].concat());
    let told = home.ok(&["diff", "c"]);
    for line in ["D /srv/gone", "D /srv/folder", "A /srv/emptied/new", "D /srv/emptied/old", "C /srv/large"] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    home.ok(&["commit", "-q", "c", "made"]);
    let list = "cd /srv; busybox find . | busybox sort; stat -c %u:%g kept web; busybox wc -c <large";
    let wanted = ". ./emptied ./emptied/new ./kept ./large ./seed ./seed/file ./web 33:34 33:34 300005";
    let seen = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let show = |image| [&NONE[..], &["--rm", image, "sh", "-c", list]].concat();
    assert_eq!(seen(home.ok(&show("made:latest"))), wanted);
    // The image below has everything still.
    let below =
        home.ok(&[&NONE[..], &["--rm", "test:latest", "cat", "/srv/gone", "/srv/folder/deep/two"]].concat());
    assert_eq!(below, "gonefolder/deep/two");

    // Out, and in again at another user's: the marks are those of layers, and no longer the user's.
    let layout = home.path("home/layout");
    let name = format!("oci:{}:made", layout.display());
    home.ok(&["push", "-q", "made:latest", &name]);
    let root = Runner::new();
    let pulled = root.run(&["pull", "-q", &name]);
    assert!(pulled.status.success(), "{pulled:?}");
    let id = String::from_utf8(pulled.stdout).unwrap();
    let run = [&NONE[..], &["--rm", "--ulimit", "nofile=1024:1024", id.trim(), "sh", "-c", list]].concat();
    let shown = root.run(&run);
    assert!(shown.status.success(), "{shown:?}");
    assert_eq!(seen(String::from_utf8(shown.stdout).unwrap()), wanted);
    assert!(root.run(&["check"]).status.success());

    // And back, to the user.
    home.ok(&["rm", "c"]);
    home.ok(&["rmi", "made", "test:latest"]);
    home.ok(&["pull", "-q", &name]);
    assert_eq!(seen(home.ok(&show(id.trim()))), wanted);
    assert!(home.ok(&["check"]).trim_end().ends_with("0 damaged, 0 unused"));
    home.ok(&["image", "prune", "--all", "--force"]);
    assert!(home.ok(&["check"]).starts_with("0 layers and 0 objects read, 0 damaged, 0 unused"));
}

#[test]
fn files_of_a_users_store_are_the_users_and_no_other_user_enters_it() {
    let Some(home) = home() else { return };
    let ids = SubordinateIds::new();
    home.import();
    let store = home.path("home/.local/share/berth-runner");
    for folder in [&store, &store.join("layers"), &store.join("objects")] {
        assert_eq!(fs::metadata(folder).unwrap().mode() & 0o7777, 0o700, "{}", folder.display());
    }
    let mut found = Vec::new();
    all(&store, &mut found);
    let kept = found.iter().find(|path| path.ends_with("srv/kept")).unwrap();
    let about = fs::metadata(kept).unwrap();
    // The second line of the map: 1 inside is the first of the range.
    let map = home.ok(&["unshare", "cat", "/proc/self/uid_map"]);
    let first: u32 = map.split_whitespace().nth(4).unwrap().parse().unwrap();
    assert_eq!((about.uid(), about.gid()), (first + 32, first + 33));
    for path in &found {
        let uid = fs::symlink_metadata(path).unwrap().uid();
        assert!(uid == USER.1 || uid == first + 32, "{}: {uid}", path.display());
    }
    // A large file is a link to its object, as in root's.
    let large = found.iter().find(|path| path.ends_with("srv/large")).unwrap();
    assert_eq!(fs::metadata(large).unwrap().nlink(), 2);
    // Without the range, what belongs to others cannot be unpacked: the file and the way out are named.
    home.ok(&["rmi", "test:latest"]);
    ids.take_away();
    let refused = home.run(&["import", "-q", home.path("image.tar").to_str().unwrap(), "test:latest"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("srv/kept") && told.contains("/etc/subuid"), "{told}");
    assert!(home.ok(&["check"]).starts_with("0 layers and 0 objects"));
}
