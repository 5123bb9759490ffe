//! Roots as containers have them. These mount and so need root.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::{
    record::{Desired, IdMap, ImageUse, UserNamespace, tests::desired},
    unpack::builder::Member,
};

/// A mounted root that goes away.
pub(super) struct Mounted<'a> {
    shed: &'a Shed,
    desired: Desired,
    pub(super) root: PathBuf,
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        self.shed.store.unmount_root(&self.desired).unwrap();
    }
}

pub(super) fn container(shed: &Shed, image: &Image) -> Desired {
    let mut desired = desired("web", 0xab);
    desired.rootfs = None;
    desired.image = Some(ImageUse {
        name: "localhost/a:1".into(),
        manifest: image.manifest.clone(),
        id: image.id.clone(),
    });
    crate::record::files::private_folder(&shed.store.folders().container(&desired.id)).unwrap();
    desired
}

pub(super) fn mounted<'a>(shed: &'a Shed, desired: &Desired) -> Mounted<'a> {
    let root = shed.store.mount_root(desired).unwrap();
    Mounted { shed, desired: desired.clone(), root }
}

pub(super) fn layers(shed: &Shed) -> Image {
    let base = Archive::new()
        .member(Member::new(b'5', "./").mode(0o711))
        .member(Member::new(b'5', "tmp").mode(0o1777))
        .folder("dir")
        .file("dir/a", b"a of the base")
        .file("dir/large", &content(300_000, 5))
        .folder("gone")
        .file("gone/x", b"x")
        .folder("opaque")
        .file("opaque/old", b"old")
        .end();
    let upper = Archive::new()
        .file("tmp/note", b"passes through tmp")
        .file("dir/a", b"a of the second")
        .file(".wh.gone", b"")
        .folder("opaque")
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/new", b"new")
        .end();
    let layers = [shed.add(&base, 4096).unwrap(), shed.add(&upper, 4096).unwrap()];
    shed.image(&layers, &["localhost/a:1"])
}

#[test]
fn a_root_is_the_layers_on_each_other() {
    let shed = Shed::new();
    let image = layers(&shed);
    let desired = container(&shed, &image);
    let mounted = mounted(&shed, &desired);
    let root = &mounted.root;
    assert_eq!(std::fs::read(root.join("dir/a")).unwrap(), b"a of the second");
    assert!(std::fs::read(root.join("dir/large")).unwrap() == content(300_000, 5));
    assert!(!root.join("gone").exists());
    let names: Vec<_> = images::entries(&root.join("opaque")).unwrap();
    assert_eq!(names, [root.join("opaque/new")]);
    let mode = |path: &str| root.join(path).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("tmp"), mode("")), (0o1777, 0o711));
    assert_eq!(shed.store.mount_root(&desired).unwrap(), *root, "a second time is the same");
    assert!(shed.store.changes(&desired).unwrap().is_empty(), "{:?}", shed.store.changes(&desired));
    drop(mounted);
    shed.store.unmount_root(&desired).unwrap();
}

#[test]
fn what_a_container_changed_is_told_and_packed_as_a_layer() {
    let shed = Shed::new();
    let image = layers(&shed);
    let desired = container(&shed, &image);
    let mounted = mounted(&shed, &desired);
    let root = &mounted.root;
    std::fs::write(root.join("dir/a"), "changed").unwrap();
    std::fs::set_permissions(root.join("dir/large"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::remove_file(root.join("tmp/note")).unwrap();
    std::fs::create_dir_all(root.join("new/deep")).unwrap();
    std::fs::write(root.join("new/deep/file"), content(100_000, 8)).unwrap();
    std::fs::hard_link(root.join("new/deep/file"), root.join("new/link")).unwrap();
    std::os::unix::fs::symlink("x".repeat(150), root.join("new/symlink")).unwrap();
    rustix::fs::setxattr(root.join("new/deep"), "user.note", b"kept", rustix::fs::XattrFlags::empty())
        .unwrap();
    std::fs::remove_dir_all(root.join("opaque")).unwrap();
    std::fs::create_dir(root.join("opaque")).unwrap();
    let changes: Vec<String> = shed
        .store
        .changes(&desired)
        .unwrap()
        .iter()
        .map(|(change, path)| format!("{} /{}", change.letter(), path.display()))
        .collect();
    assert_eq!(
        changes,
        [
            "C /dir",
            "C /dir/a",
            "C /dir/large",
            "A /new",
            "A /new/deep",
            "A /new/deep/file",
            "A /new/link",
            "A /new/symlink",
            "C /opaque",
            "D /opaque/new",
            "C /tmp",
            "D /tmp/note",
        ]
    );
    let (mut tar, mut again) = (Vec::new(), Vec::new());
    shed.store.upper_tar(&desired, &mut tar).unwrap();
    shed.store.upper_tar(&desired, &mut again).unwrap();
    assert!(tar == again, "the same bytes");
    let before = crate::unpack::builder::listing(root);
    drop(mounted);
    crate::record::Records::new(shed.store.folders()).remove(&desired.id).unwrap();
    // The image with this layer on top looks as the container did.
    let top = shed.add(&tar, 4096).unwrap();
    let layers = [image.layers.as_slice(), &[top]].concat();
    let committed = shed.image(&layers, &["localhost/b:1"]);
    let again = super::mounts::mounted(&shed, &container(&shed, &committed));
    let after = crate::unpack::builder::listing(&again.root);
    // Attributes of the merge itself and link counts of directories aside, all is the same.
    assert_eq!(after[1..], before[1..]);
}

#[test]
fn ids_are_the_namespaces_in_the_mount_and_the_images_on_disk() {
    let shed = Shed::new();
    let tar = Archive::new().with(Member::new(b'0', "f").owner(7, 8), &content(70_000, 1)).end();
    let image = shed.image(&[shed.add(&tar, 4096).unwrap()], &["localhost/a:1"]);
    let mut desired = container(&shed, &image);
    let ids = vec![IdMap { container: 0, host: 700_000, size: 65_536 }];
    desired.isolation.user = UserNamespace::Private { uids: ids.clone(), gids: ids };
    let mounted = mounted(&shed, &desired);
    let found = mounted.root.join("f").metadata().unwrap();
    assert_eq!((found.uid(), found.gid()), (700_007, 700_008));
    assert!(std::fs::read(mounted.root.join("f")).unwrap() == content(70_000, 1));
    std::os::unix::fs::chown(mounted.root.join("f"), Some(700_001), None).unwrap();
    let upper = shed.store.folders().container(&desired.id).join("upper/f");
    assert_eq!(upper.metadata().unwrap().uid(), 1);
}

#[test]
fn a_root_of_two_hundred_layers_is_mounted_and_one_of_none() {
    let shed = Shed::new();
    let many: Vec<Digest> = (0..200)
        .map(|number| shed.add(&Archive::new().file(&format!("f{number}"), b"x").end(), 4096).unwrap())
        .collect();
    let image = shed.image(&many, &["localhost/a:1"]);
    let desired = container(&shed, &image);
    let root = mounted(&shed, &desired);
    assert_eq!(images::entries(&root.root).unwrap().len(), 200);
    drop(root);
    let shed = Shed::new();
    let image = shed.image(&[], &["localhost/a:1"]);
    let desired = container(&shed, &image);
    let root = mounted(&shed, &desired);
    std::fs::write(root.root.join("x"), "").unwrap();
}

#[test]
fn a_container_that_goes_with_its_end_starts_again_after_a_crash() {
    let shed = Shed::new();
    let image = layers(&shed);
    let mut desired = container(&shed, &image);
    desired.auto_remove = true;
    for round in 0..2 {
        let root = mounted(&shed, &desired);
        assert_eq!(root.root.join("mark").exists(), round == 1);
        std::fs::write(root.root.join("mark"), "").unwrap();
    }
}

#[test]
fn the_machine_says_how_layers_are_kept() {
    let shed = Shed::new();
    let diff_id = shed.add(&assorted(), 4096).unwrap();
    assert_eq!(shed.tar(&diff_id), assorted());
    let overlay = shed.store.overlay().unwrap();
    assert_eq!(shed.store.facts(&diff_id).unwrap().unwrap().overlay, overlay);
}
