//! Folders that layers only pass through. What mounts needs root.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::{
    super::{lower::Lower, passed},
    mounts::{container, layers, mounted},
    *,
};
use crate::unpack::builder::{Member, listing};

fn place(shed: &Shed, image: &Image) -> PathBuf {
    shed.store.passed_folder(&image.layers).unwrap()
}

/// What is kept is what the layers say.
pub(super) fn assert_whole(store: &Store, image: &Image) {
    let kept = store.passed_folder(&image.layers).unwrap();
    if !kept.exists() {
        return;
    }
    let found = tempfile::tempdir().unwrap();
    passed::fill(&Lower::open(store, &image.layers).unwrap(), found.path()).unwrap();
    assert_eq!(listing(&kept)[1..], listing(found.path())[1..]);
}

#[test]
fn folders_that_layers_pass_through_are_found_once_and_not_at_each_start() {
    let shed = Shed::new();
    let image = layers(&shed);
    assert_whole(&shed.store, &image);
    // What was found counts: a mode that no layer has shows it.
    fs::set_permissions(place(&shed, &image).join("tmp"), fs::Permissions::from_mode(0o1751)).unwrap();
    let desired = container(&shed, &image);
    let mounted = mounted(&shed, &desired);
    assert_eq!(mounted.root.join("tmp").metadata().unwrap().mode() & 0o7777, 0o1751);
    let upper = shed.store.folders().container(&desired.id).join("upper");
    assert_eq!(fs::read_dir(&upper).unwrap().count(), 0, "nothing is made for each container");
}

#[test]
fn a_folder_that_is_passed_through_keeps_what_it_is_when_something_is_written_into_it() {
    let shed = Shed::new();
    let base = Archive::new()
        .member(Member::new(b'5', "srv").mode(0o2750).owner(7, 8))
        .member(Member::new(b'5', "srv/deep").mode(0o711).owner(9, 10))
        .end();
    let above = Archive::new().file("srv/deep/file", b"x").end();
    let layers = [shed.add(&base, 4096).unwrap(), shed.add(&above, 4096).unwrap()];
    let image = shed.image(&layers, &["localhost/a:1"]);
    let desired = container(&shed, &image);
    let mounted = mounted(&shed, &desired);
    fs::write(mounted.root.join("srv/deep/new"), "").unwrap();
    for (path, is) in [("srv", (0o2750, 7, 8)), ("srv/deep", (0o711, 9, 10))] {
        let found = mounted.root.join(path).metadata().unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), is, "{path}");
    }
    let changes = shed.store.changes(&desired).unwrap();
    let changed: Vec<&Path> = changes.iter().map(|(_, path)| path.as_path()).collect();
    assert_eq!(changed, [Path::new("srv"), Path::new("srv/deep"), Path::new("srv/deep/new")]);
}

#[test]
fn a_store_of_an_earlier_version_gets_them_with_the_next_start() {
    let shed = Shed::new();
    let image = layers(&shed);
    fs::remove_dir_all(place(&shed, &image)).unwrap();
    // Paths were lists of bytes.
    let facts = shed.store.layer_folder(&image.layers[1]).join(key::FACTS);
    let text = fs::read_to_string(&facts).unwrap();
    assert!(text.contains(r#""tmp""#), "{text}");
    fs::write(&facts, text.replace(r#""tmp""#, "[116,109,112]")).unwrap();
    let desired = container(&shed, &image);
    {
        let mounted = mounted(&shed, &desired);
        assert_eq!(mounted.root.join("tmp").metadata().unwrap().mode() & 0o7777, 0o1777);
    }
    assert!(place(&shed, &image).join("tmp").exists());
    assert_whole(&shed.store, &image);
}

#[test]
fn a_path_that_is_no_text_is_kept_as_it_is() {
    use std::os::unix::ffi::OsStrExt;
    let shed = Shed::new();
    let tar = Archive::new().member(Member::new(b'0', "x").field(0, b"\xff\xfe/f")).end();
    let facts = shed.store.facts(&shed.add(&tar, 4096).unwrap()).unwrap().unwrap();
    let implied: Vec<&[u8]> = facts.implied.iter().map(|path| path.path().as_os_str().as_bytes()).collect();
    assert_eq!(implied, [b"".as_slice(), b"\xff\xfe"]);
}

#[test]
fn they_go_with_the_last_image_of_their_layers() {
    let shed = Shed::new();
    let both = layers(&shed);
    let upper = shed.image(&both.layers[1..], &["localhost/upper:1"]);
    let (of_both, of_upper) = (place(&shed, &both), place(&shed, &upper));
    assert!(of_both.exists() && of_upper.exists() && of_both.parent() == of_upper.parent());
    shed.store.remove_image(&both.manifest).unwrap();
    assert!(!of_both.exists() && of_upper.exists());
    assert!(shed.store.check().unwrap().leftovers.is_empty());
}

#[test]
fn they_are_right_again_after_a_repair_and_in_an_image_that_is_committed() {
    let shed = Shed::new();
    let image = layers(&shed);
    let tars = image.layers.iter().map(|layer| shed.tar(layer)).collect::<Vec<_>>();
    for (damaged, path) in [(0, "dir/a"), (1, "tmp/note")] {
        fs::write(shed.tree(&image.layers[damaged]).join(path), "damaged").unwrap();
        let report = shed.store.check().unwrap();
        assert!(!report.damage.is_empty());
        shed.store.repair(&report).unwrap();
        for tar in &tars {
            shed.add(tar, 4096).unwrap();
        }
        shed.image(&image.layers, &["localhost/a:1"]);
        assert!(place(&shed, &image).join("tmp").exists());
        assert_whole(&shed.store, &image);
    }
    let top = shed.add(&Archive::new().file("dir/more", b"x").end(), 4096).unwrap();
    let committed = shed.image(&[image.layers.as_slice(), &[top]].concat(), &["localhost/b:1"]);
    assert!(place(&shed, &committed).join("dir").exists() && place(&shed, &committed).join("tmp").exists());
    assert_whole(&shed.store, &committed);
}
