use std::os::{
    fd::AsRawFd,
    unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use super::*;
use crate::record::{IdMap, Mount, tests::desired};

struct Place {
    folder: tempfile::TempDir,
    folders: Folders,
    volumes: Volumes,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
    Place { volumes: Volumes::new(&folders), folder, folders }
}

fn use_of(name: &str, anonymous: bool) -> Mount {
    Mount {
        destination: "/data".into(),
        kind: MountKind::Volume { name: name.into(), anonymous, no_copy: false, subpath: None },
        read_only: false,
        options: Vec::new(),
        chown: false,
        relabel: None,
    }
}

#[test]
fn a_volume_is_made_found_and_removed() {
    let place = place();
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let made = place.volumes.create(Some("data"), labels, false).unwrap();
    assert_eq!(place.volumes.inspect("data").unwrap(), made);
    assert_eq!(place.volumes.all().unwrap(), std::slice::from_ref(&made));
    assert!(matches!(
        place.volumes.create(Some("data"), BTreeMap::new(), false),
        Err(RunnerError::Conflict(_))
    ));
    assert_eq!(place.volumes.ensure("data").unwrap(), made);
    let other = place.volumes.create(None, BTreeMap::new(), true).unwrap();
    assert_eq!(other.name.len(), 64);
    place.volumes.remove("data").unwrap();
    for bad in ["data", "../data", ""] {
        assert!(matches!(place.volumes.remove(bad), Err(RunnerError::NotFound(_))), "{bad}");
    }
}

#[test]
fn a_volume_in_use_stays_and_anonymous_ones_go_with_their_container() {
    let place = place();
    place.volumes.create(Some("data"), BTreeMap::new(), false).unwrap();
    let own = place.volumes.create(None, BTreeMap::new(), true).unwrap();
    let mut web = desired("web", 1);
    web.mounts = vec![use_of("data", false), use_of(&own.name, true)];
    let records = Records::new(&place.folders);
    records.create(&web).unwrap();
    let refused = place.volumes.remove("data").unwrap_err();
    assert!(matches!(&refused, RunnerError::Conflict(text) if text.contains("web")), "{refused}");
    place.volumes.remove_anonymous(&web).unwrap();
    assert_eq!(place.volumes.all().unwrap().len(), 2, "its container is there yet");
    records.remove(&web.id).unwrap();
    place.volumes.remove_anonymous(&web).unwrap();
    let left = place.volumes.all().unwrap();
    assert_eq!(left.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), ["data"]);
}

#[test]
fn a_new_volume_gets_what_the_image_has_there_once() {
    let place = place();
    let root = place.folder.path().join("root");
    fs::create_dir_all(root.join("srv/data/sub")).unwrap();
    fs::write(root.join("srv/data/sub/file"), "text").unwrap();
    fs::set_permissions(root.join("srv/data/sub/file"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(root.join("srv/data"), fs::Permissions::from_mode(0o770)).unwrap();
    symlink("/etc/shadow", root.join("srv/data/link")).unwrap();
    let inside = Inside::new(&root).unwrap();
    place.volumes.create(Some("data"), BTreeMap::new(), false).unwrap();
    let data = place.volumes.data("data").unwrap();
    place.volumes.fill("data", &inside, Path::new("/srv/data"), &DiskIds::default()).unwrap();
    let mode = |path: &str| fs::symlink_metadata(data.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("."), mode("sub/file")), (0o770, 0o640));
    assert_eq!(fs::read_to_string(data.join("sub/file")).unwrap(), "text");
    assert_eq!(fs::read_link(data.join("link")).unwrap(), Path::new("/etc/shadow"));
    let time = |path: &Path| fs::metadata(path).unwrap().mtime();
    assert_eq!(time(&data.join("sub")), time(&root.join("srv/data/sub")));
    fs::remove_file(data.join("sub/file")).unwrap();
    place.volumes.fill("data", &inside, Path::new("/srv/data"), &DiskIds::default()).unwrap();
    assert!(!data.join("sub/file").exists(), "filled a second time");
}

#[test]
fn a_link_of_the_image_never_fills_a_volume_from_the_machine() {
    let place = place();
    let root = place.folder.path().join("root");
    fs::create_dir_all(&root).unwrap();
    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "").unwrap();
    symlink(&outside, root.join("data")).unwrap();
    let inside = Inside::new(&root).unwrap();
    place.volumes.create(Some("data"), BTreeMap::new(), false).unwrap();
    place.volumes.fill("data", &inside, Path::new("/data"), &DiskIds::default()).unwrap();
    assert_eq!(fs::read_dir(place.volumes.data("data").unwrap()).unwrap().count(), 0);
}

#[test]
fn ids_of_a_namespace_become_the_images_on_disk() {
    if !rustix::process::geteuid().is_root() {
        return assert!(std::env::var_os("CI").is_none(), "skipped: only root gives files away");
    }
    let place = place();
    let root = place.folder.path().join("root");
    fs::create_dir_all(root.join("data")).unwrap();
    for (name, id) in [("root", 1 << 30), ("web", (1 << 30) + 33), ("stranger", 7)] {
        fs::write(root.join("data").join(name), "").unwrap();
        std::os::unix::fs::chown(root.join("data").join(name), Some(id), Some(id)).unwrap();
    }
    let map = vec![IdMap { container: 0, host: 1 << 30, size: 1000 }];
    let ids = DiskIds { uids: map.clone(), gids: map };
    place.volumes.create(Some("data"), BTreeMap::new(), false).unwrap();
    let inside = Inside::new(&root).unwrap();
    place.volumes.fill("data", &inside, Path::new("/data"), &ids).unwrap();
    let data = place.volumes.data("data").unwrap();
    let owner = |name: &str| fs::metadata(data.join(name)).unwrap().uid();
    assert_eq!([owner("root"), owner("web"), owner("stranger")], [0, 33, 65_534]);
}

#[test]
fn a_volume_comes_back_from_its_tar_and_a_tar_leads_nowhere_else() {
    let place = place();
    for name in ["from", "to"] {
        place.volumes.create(Some(name), BTreeMap::new(), false).unwrap();
    }
    let from = place.volumes.data("from").unwrap();
    fs::create_dir(from.join("sub")).unwrap();
    fs::write(from.join("sub/file"), "text").unwrap();
    symlink("/etc", from.join("link")).unwrap();
    let mut tar = Vec::new();
    place.volumes.export("from", &mut tar).unwrap();
    place.volumes.import("to", &tar[..]).unwrap();
    let to = place.volumes.data("to").unwrap();
    assert_eq!(fs::read_to_string(to.join("sub/file")).unwrap(), "text");
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc"));

    let outside = place.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let mut hostile = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    hostile.append_link(&mut header, "out", &outside).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    hostile.append_data(&mut header, "out/file", &b"x"[..]).unwrap();
    let hostile = hostile.into_inner().unwrap();
    assert!(matches!(place.volumes.import("to", &hostile[..]), Err(RunnerError::Content(_))));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_folder_of_a_volume_is_no_link_and_lies_below_it() {
    let place = place();
    place.volumes.create(Some("data"), BTreeMap::new(), false).unwrap();
    let data = place.volumes.data("data").unwrap();
    fs::create_dir_all(data.join("a/b")).unwrap();
    symlink("/etc", data.join("link")).unwrap();
    let opened = below(&data, Path::new("a/b")).unwrap();
    // Whatever is in its place by the time that it is mounted.
    fs::rename(data.join("a"), data.join("moved")).unwrap();
    symlink("/etc", data.join("a")).unwrap();
    let held = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd())).unwrap();
    assert_eq!(held, data.join("moved/b").canonicalize().unwrap());
    assert!(below(&data, Path::new("a/passwd")).is_err());
    for bad in ["../data", "/etc", "link", "link/x", "nothing"] {
        assert!(below(&data, Path::new(bad)).is_err(), "{bad}");
    }
}
