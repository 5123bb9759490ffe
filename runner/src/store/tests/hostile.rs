//! Hostile layers. Each is unpacked beside a canary, which must stay as it was.

use super::*;
use crate::unpack::{
    MAX_SEGMENTS, MAX_TRAILING,
    builder::{Member, listing},
};

/// Unpacks it; nothing outside of the store changes, and after a refusal nothing of it stays.
fn unpack(tar: &[u8]) -> (Shed, Result<Digest>) {
    let shed = Shed::new();
    let canary = shed.folder.path().join("canary");
    std::fs::create_dir_all(canary.join("etc")).unwrap();
    std::fs::write(canary.join("etc/passwd"), "root").unwrap();
    let before = listing(&canary);
    let answer = shed.add(tar, 700);
    assert_eq!(listing(&canary), before);
    let outside: Vec<_> =
        std::fs::read_dir(shed.folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(outside.len(), 2, "canary and store: {outside:?}");
    if answer.is_err() {
        assert!(shed.layers().is_empty(), "{:?}", shed.layers());
    }
    (shed, answer)
}

/// It is refused, with the name of the entry and these words.
fn refused(tar: &[u8], entry: &str, words: &str) {
    let (_shed, answer) = unpack(tar);
    let error = answer.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("layer sha256:{}", digest(tar).hex())), "{text}");
    assert!(text.contains(entry) && text.contains(words), "{text}");
}

#[test]
fn u1_a_name_that_climbs_is_refused_and_an_absolute_one_is_contained() {
    for name in ["../canary/etc/passwd", "a/../../canary/x", "..", "a/b/.."] {
        refused(&Archive::new().file(name, b"x").end(), name, "`..`");
        refused(&Archive::new().folder(name).end(), name, "`..`");
    }
    let (shed, answer) = unpack(&Archive::new().file("/etc/passwd", b"x").end());
    assert!(shed.tree(&answer.unwrap()).join("etc/passwd").exists());
}

#[test]
fn u2_what_goes_through_a_link_stays_inside() {
    for target in ["../../../../canary", "/canary", "../../../../../../../../../canary/etc/.."] {
        let tar = Archive::new()
            .symlink("link", target)
            .file("link/etc/passwd", b"changed")
            .folder("link/etc")
            .member(Member::new(b'5', "link/").mode(0o700))
            .file("link2", b"")
            .end();
        let (shed, answer) = unpack(&tar);
        let diff_id = answer.unwrap();
        assert_eq!(shed.tar(&diff_id), tar);
    }
    let tar = Archive::new()
        .folder("real")
        .symlink("a", "/real")
        .file("a/x", b"1")
        .symlink("b", "a/../real")
        .file("b/y", b"2")
        .end();
    let (shed, answer) = unpack(&tar);
    let tree = shed.tree(&answer.unwrap());
    assert!(tree.join("real/x").exists() && tree.join("real/y").exists());
    // An absolute target begins at the layer's root, wherever the link is; one that climbs over it as well.
    let tar = Archive::new()
        .folder("d/e")
        .symlink("d/e/root", "/real")
        .symlink("d/e/above", "../../../../real")
        .file("d/e/root/x", b"1")
        .file("d/e/above/y", b"2")
        .end();
    let (shed, answer) = unpack(&tar);
    let tree = shed.tree(&answer.unwrap());
    assert!(tree.join("real/x").exists() && tree.join("real/y").exists() && !tree.join("d/e/real").exists());
    refused(
        &Archive::new().symlink("a", "b").symlink("b", "a").file("a/x", b"").end(),
        "a/x",
        "40 symbolic links",
    );
    refused(&Archive::new().file("f", b"").file("f/x", b"").end(), "f/x", "no folder");
    // A file over a link takes its place.
    let (shed, answer) =
        unpack(&Archive::new().symlink("l", "../../../../canary/etc/passwd").file("l", b"x").end());
    assert!(shed.tree(&answer.unwrap()).join("l").is_file());
}

#[test]
fn u3_a_root_that_is_a_link_or_file_is_refused() {
    for name in [".", "/", "./", "//", "./."] {
        refused(&Archive::new().symlink(name, "/canary").end(), name, "root of a layer");
        refused(&Archive::new().file(name, b"x").end(), name, "root of a layer");
        refused(&Archive::new().hard_link(name, "x").end(), name, "root of a layer");
    }
}

#[test]
fn u4_hard_links_lead_to_entries_of_the_layer_alone() {
    refused(&Archive::new().hard_link("a", "../../canary/etc/passwd").end(), "\"a\"", "hard link");
    refused(&Archive::new().hard_link("a", "/etc/passwd").end(), "\"a\"", "no entry before it");
    refused(&Archive::new().folder("d").hard_link("a", "d").end(), "\"a\"", "a folder");
    refused(&Archive::new().file(".wh.w", b"").hard_link("a", "w").end(), "\"a\"", "a whiteout");
    refused(&Archive::new().hard_link("a", "").end(), "\"a\"", "to nothing");
    let canary = "../../../../canary/etc/passwd";
    let (shed, answer) = unpack(&Archive::new().symlink("s", canary).hard_link("a", "s").end());
    assert!(shed.tree(&answer.unwrap()).join("a").is_symlink(), "one more name of the link itself");
    let through = Archive::new().symlink("s", "../../../../canary").hard_link("a", "s/etc/passwd").end();
    refused(&through, "\"a\"", "no entry before it");
    let (_shed, answer) = unpack(&Archive::new().file("a", b"x").hard_link("a", "./a").end());
    answer.unwrap();
}

#[test]
fn u5_whiteouts_of_dots_are_refused_and_others_touch_lower_layers_only() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh...", ".wh./x", ".wh.d/x"] {
        refused(&Archive::new().file(name, b"").end(), name, "whiteout");
    }
    let tar =
        Archive::new().folder("d").file("d/x", b"1").file("d/.wh.x", b"").file("d/.wh..wh..opq", b"").end();
    let (shed, answer) = unpack(&tar);
    assert_eq!(std::fs::read(shed.tree(&answer.unwrap()).join("d/x")).unwrap(), b"1");
}

#[test]
fn u6_devices_are_those_of_every_container() {
    let device = |name, kind, major, minor| Member::new(kind, name).device(major, minor);
    let tar = Archive::new()
        .member(device("null", b'3', 1, 3))
        .member(device("mem", b'3', 1, 1))
        .member(device("disk", b'4', 8, 0))
        .member(device("whiteout", b'3', 0, 0))
        .member(Member::new(b'6', "pipe"))
        .end();
    let shed = Shed::new();
    let Claim::New(mut writer) = shed.store.begin_layer(&digest(&tar)).unwrap() else { panic!() };
    writer.take(&tar).unwrap();
    let warnings = writer.warnings().join("\n");
    for left in
        ["mem: the character device 1:1", "disk: the block device 8:0", "whiteout: the character device 0:0"]
    {
        assert!(warnings.contains(left), "{warnings}");
    }
    let tree = shed.tree(&writer.finish().unwrap());
    let names: Vec<_> = images::entries(&tree).unwrap();
    assert_eq!(names, [tree.join("null"), tree.join("pipe")]);
}

#[test]
fn u7_setuid_and_file_capabilities_are_kept_in_a_store_that_only_its_owner_enters() {
    use std::os::unix::fs::MetadataExt;
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut of_a_namespace = capability.to_vec();
    of_a_namespace[3] = 3;
    of_a_namespace.extend_from_slice(&7u32.to_le_bytes());
    let tar = Archive::new()
        .with(Member::new(b'0', "su").mode(0o6755), b"x")
        .pax(&[("SCHILY.xattr.security.capability", capability)])
        .file("ping", b"x")
        .pax(&[("SCHILY.xattr.security.capability", &of_a_namespace)])
        .file("other", b"x")
        .end();
    let (shed, answer) = unpack(&tar);
    let tree = shed.tree(&answer.unwrap());
    assert_eq!(tree.join("su").metadata().unwrap().mode() & 0o7777, 0o6755);
    for name in ["ping", "other"] {
        let mut value = [0; 64];
        let length = rustix::fs::lgetxattr(tree.join(name), "security.capability", &mut value).unwrap();
        assert_eq!(&value[..length], capability, "{name}");
    }
    assert_eq!(shed.store.folders.store.metadata().unwrap().mode() & 0o777, 0o700);
    let bad = Archive::new().pax(&[("SCHILY.xattr.security.capability", b"rubbish")]).file("x", b"").end();
    refused(&bad, "\"x\"", "file capabilities");
}

#[test]
fn u8_only_attributes_of_the_list_are_set() {
    let tar = Archive::new()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.mine", b"y"),
            ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.user.overlay.metacopy", b""),
            ("SCHILY.xattr.security.selinux", b"label"),
            ("SCHILY.xattr.security.ima", b"x"),
            ("SCHILY.xattr.system.posix_acl_access", b"x"),
            ("SCHILY.xattr.user.fine", b"yes"),
        ])
        .file("x", b"1")
        .end();
    let (shed, answer) = unpack(&tar);
    let mut names = [0; 1024];
    let length = rustix::fs::llistxattr(shed.tree(&answer.unwrap()).join("x"), &mut names).unwrap();
    assert_eq!(&names[..length], b"user.fine\0");
    let value = vec![b'x'; 65_537];
    let tar = Archive::new().pax(&[("SCHILY.xattr.user.big", &value)]).file("x", b"1").end();
    refused(&tar, "\"x\"", "65536");
}

#[test]
fn u9_sizes_that_readers_take_differently_are_refused() {
    let tar = Archive::new().pax(&[("size", b"512")]).member(Member::new(b'0', "x")).bytes(&[1; 512]).end();
    refused(&tar, "\"x\"", "readers of tar disagree");
    let tar = Archive::new().pax(&[("size", b"0")]).file("x", &[1; 512]).end();
    refused(&tar, "\"x\"", "readers of tar disagree");
    let tar = Archive::new().pax(&[("size", b"3")]).file("x", b"abc").end();
    unpack(&tar).1.unwrap();
    let global = Archive::new().with(Member::new(b'g', "g"), b"12 size=512\n").file("x", b"").end();
    refused(&global, "", "readers of tar take differently");
    refused(&Archive::new().with(Member::new(b'x', "p"), b"no record").file("x", b"").end(), "", "records");
    refused(&Archive::new().member(Member::new(b'?', "x")).end(), "", "type '?'");
    refused(&Archive::new().file("x", b"abc").cut()[..600], "", "ends in its middle");
    refused(&Archive::new().pax(&[("path", b"y")]).end(), "", "behind an extended header");
    let middle = Archive::new().bytes(&[0; 512]).file("x", b"").end();
    refused(&middle, "", "middle of the archive");
}

#[test]
fn u9_long_names_of_gnu_tar_are_read() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let tar = Archive::new()
        .with(Member::new(b'L', "././@LongLink").gnu(), format!("{long}\0").as_bytes())
        .with(Member::new(b'0', "short").gnu(), b"content")
        .end();
    let (shed, answer) = unpack(&tar);
    assert_eq!(std::fs::read(shed.tree(&answer.unwrap()).join(long)).unwrap(), b"content");
}

#[test]
fn u10_claims_without_measure_are_refused() {
    let records: &[(&str, &[u8])] =
        &[("GNU.sparse.major", b"0"), ("GNU.sparse.size", b"1152921504606846976"), ("GNU.sparse.map", b"")];
    refused(&Archive::new().pax(records).file("x", b"").end(), "\"x\"", "with holes");
    let large = Archive::new().member(Member::new(b'x', "p").size(100 << 20)).end();
    refused(&large, "", "extended headers");
    let long = Archive::new().member(Member::new(b'L', "l").size(4098)).end();
    refused(&long, "", "extended headers");
    let path = "p/".repeat(2049);
    refused(&Archive::new().pax(&[("path", path.as_bytes())]).file("x", b"").end(), "p/p", "4096");
    let mut trailing = Archive::new().file("x", b"").end();
    trailing.extend(vec![1; MAX_TRAILING]);
    unpack(&trailing).1.unwrap();
    trailing.push(1);
    refused(&trailing, "", "follows the end");
    let mut map = "0,0,".repeat(MAX_SEGMENTS + 1);
    map.pop();
    let records: &[(&str, &[u8])] = &[("GNU.sparse.size", b"1"), ("GNU.sparse.map", map.as_bytes())];
    refused(&Archive::new().pax(records).file("x", b"").end(), "\"x\"", "pieces");
    let records: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"x"),
        ("GNU.sparse.realsize", b"1"),
    ];
    let mut count = format!("{}\n", MAX_SEGMENTS + 1);
    count.push_str(&"0\n".repeat(300));
    refused(&Archive::new().pax(records).file("x", count.as_bytes()).end(), "\"x\"", "pieces");
    for map in ["0,2,1,1", "5,1", "1"] {
        let records: &[(&str, &[u8])] = &[("GNU.sparse.size", b"3"), ("GNU.sparse.map", map.as_bytes())];
        refused(&Archive::new().pax(records).file("x", b"abc").end(), "", "map of holes");
    }
    refused(
        &Archive::new()
            .member(Member::new(b'0', "x").octal(108, 8, 0).field(108, &[0x80, 0, 0, 1, 0, 0, 0, 0]))
            .end(),
        "\"x\"",
        "user id",
    );
}

#[test]
fn u10_trees_without_measure_are_refused() {
    let deep = "d/".repeat(257);
    refused(
        &Archive::new().pax(&[("path", deep.as_bytes())]).file("x", b"").end(),
        "d/d",
        "256 folders deep",
    );
    let mut wide = Archive::new();
    for folder in 0..=10_000 {
        wide = wide.file(&format!("d{folder}/f"), b"");
    }
    refused(&wide.end(), "d9999/f", "10000 folders have no entry");
}

#[test]
fn u10_a_million_entries_are_enough() {
    let one = Archive::new().file(".wh..wh.x", b"").cut();
    let shed = Shed::new();
    let mut writer = shed.store.begin_unknown_layer().unwrap();
    let many = one.repeat(1000);
    for _ in 0..1000 {
        writer.take(&many).unwrap();
    }
    let error = writer.take(&one).unwrap_err();
    assert!(error.exit_code() == 4 && error.to_string().contains("1000000 entries"), "{error}");
}

#[test]
fn u12_another_digest_than_expected_is_refused_before_anything_is_seen() {
    let shed = Shed::new();
    let expected = digest(b"another");
    let Claim::New(mut writer) = shed.store.begin_layer(&expected).unwrap() else { panic!() };
    writer.take(&assorted()).unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains(expected.as_str()), "{error}");
    assert!(shed.layers().is_empty());
    assert!(shed.store.all_objects().unwrap().is_empty());
}
