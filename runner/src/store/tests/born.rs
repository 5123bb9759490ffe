//! Owners and modes that files have by being made. Root's, for whom owners are anybody.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::unpack::builder::Member;

/// Folders of other groups, modes that a umask takes away, files that get links of their own.
const FILES: [(&str, u64, u64, u64); 8] = [
    ("plain", 0o644, 0, 0),
    ("wide", 0o777, 0, 0),
    ("other", 0o666, 7, 8),
    ("su", 0o4755, 0, 0),
    ("nothing", 0, 0, 0),
    ("group/root", 0o644, 0, 0),
    ("group/staff", 0o664, 0, 50),
    ("group/deep/root", 0o755, 0, 0),
];

fn tar() -> Vec<u8> {
    let mut archive = Archive::new()
        .member(Member::new(b'5', "group").mode(0o2775).owner(0, 50))
        .member(Member::new(b'5', "group/deep").mode(0o2755).owner(0, 60));
    for (name, mode, uid, gid) in FILES {
        for (suffix, length) in [("", 100), ("-large", 9000)] {
            let member = Member::new(b'0', &format!("{name}{suffix}")).mode(mode).owner(uid, gid);
            archive = archive.with(member, &content(length, 3));
        }
    }
    // A folder that gets its group when there are files in it already.
    archive = archive.file("late/before", b"x");
    archive = archive.member(Member::new(b'5', "late").mode(0o2755).owner(0, 50));
    archive.file("late/after", b"x").end()
}

fn assert_right(tree: &std::path::Path) {
    for (name, mode, uid, gid) in FILES {
        for suffix in ["", "-large"] {
            let found = tree.join(format!("{name}{suffix}")).metadata().unwrap();
            let is = (u64::from(found.mode() & 0o7777), u64::from(found.uid()), u64::from(found.gid()));
            assert_eq!(is, (mode, uid, gid), "{name}{suffix}");
        }
    }
    for name in ["late/before", "late/after"] {
        assert_eq!(tree.join(name).metadata().unwrap().gid(), 0, "{name}");
    }
}

#[test]
fn files_have_the_owner_and_mode_of_their_entries_whatever_their_folder_hands_down() {
    let shed = Shed::new();
    assert_right(&shed.tree(&shed.add(&tar(), 700).unwrap()));
    // A list of access for all that is made below: its owner everything, its group reads, others nothing.
    let shed = Shed::new();
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions) in [(1_u16, 7_u16), (4, 4), (32, 0)] {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(u32::MAX.to_le_bytes());
    }
    let layers = shed.store.folders().layers();
    crate::record::files::private_folder(&layers).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    match rustix::fs::setxattr(&layers, c"system.posix_acl_default", &list, flags) {
        Ok(()) => assert_right(&shed.tree(&shed.add(&tar(), 700).unwrap())),
        Err(error) => assert_eq!(error, rustix::io::Errno::OPNOTSUPP),
    }
    // A store in a folder that hands down its group.
    let shed = Shed::new();
    std::os::unix::fs::chown(shed.folder.path().join("store"), None, Some(50)).unwrap();
    let inherits = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o2700);
    std::fs::set_permissions(shed.folder.path().join("store"), inherits).unwrap();
    assert_right(&shed.tree(&shed.add(&tar(), 700).unwrap()));
}
