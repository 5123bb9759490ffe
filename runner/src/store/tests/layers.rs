use std::os::unix::fs::MetadataExt;

use super::*;
use crate::unpack::builder::Member;

#[test]
fn a_layer_comes_out_as_it_went_in_whatever_the_pieces() {
    for piece in [1, 100, 511, 512, 513, 65_536, usize::MAX] {
        let shed = Shed::new();
        let tar = assorted();
        let diff_id = shed.add(&tar, piece).unwrap();
        assert_eq!(shed.tar(&diff_id), tar, "{piece}");
        assert_eq!(shed.layers(), [diff_id.hex()], "no staging stays");
    }
}

#[test]
fn a_file_has_what_its_entry_says() {
    let shed = Shed::new();
    let diff_id = shed.add(&assorted(), 4096).unwrap();
    let tree = shed.tree(&diff_id);
    let su = tree.join("usr/bin/su").symlink_metadata().unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.mtime()), (0o4755, 0, 7, 1_600_000_000));
    let noted = tree.join("noted").symlink_metadata().unwrap();
    assert_eq!((noted.mtime(), noted.mtime_nsec()), (1_500_000_000, 123_456_789));
    let mut value = [0; 16];
    let length = rustix::fs::lgetxattr(tree.join("noted"), "user.note", &mut value).unwrap();
    assert_eq!(&value[..length], b"kept");
    let large = tree.join("usr/bin/large").symlink_metadata().unwrap();
    let link = tree.join("usr/bin/link").symlink_metadata().unwrap();
    assert_eq!((large.ino(), large.len()), (link.ino(), 200_000));
    assert_eq!(large.nlink(), 3, "two names and the object");
    assert_eq!(std::fs::read_link(tree.join("bin")).unwrap(), PathBuf::from("usr/bin"));
    assert_eq!(tree.join("usr").symlink_metadata().unwrap().mtime(), 1_600_000_000);
    let facts = shed.store.facts(&diff_id).unwrap().unwrap();
    assert_eq!(facts.size, 200_000 + 7);
    let implied: Vec<_> = facts.implied.iter().map(|path| String::from_utf8_lossy(&path.0)).collect();
    assert_eq!(implied, ["implied", "implied/by"], "the root was described");
}

#[test]
fn large_files_of_two_layers_are_stored_once() {
    let shed = Shed::new();
    let large = content(100_000, 3);
    let one = shed.add(&Archive::new().file("a", &large).end(), 4096).unwrap();
    let two = shed.add(&Archive::new().file("b", b"!").file("a", &large).end(), 4096).unwrap();
    assert_eq!(shed.store.all_objects().unwrap().len(), 1);
    let inode = |layer: &Digest, path: &str| shed.tree(layer).join(path).symlink_metadata().unwrap();
    assert_eq!(inode(&one, "a").ino(), inode(&two, "a").ino());
    let owned = Archive::new().with(Member::new(b'0', "a").owner(5, 5), &large).end();
    let owned = shed.add(&owned, 4096).unwrap();
    assert_eq!((inode(&owned, "a").uid(), inode(&one, "a").uid()), (5, 0), "an owner is a layer's own");
    let twice = shed.add(&Archive::new().file("a", &large).file("c", &large).end(), 4096).unwrap();
    assert_ne!(inode(&twice, "a").ino(), inode(&twice, "c").ino(), "two paths are two files");
    for layer in [one, two, owned, twice] {
        shed.tar(&layer);
    }
}

#[test]
fn f20_an_object_that_lost_its_end_is_written_anew_by_the_next_layer_that_has_it() {
    let shed = Shed::new();
    let large = content(100_000, 1);
    let tar = |own: &[u8]| Archive::new().file("large", &large).file("own", own).end();
    shed.add(&tar(b"1"), 4096).unwrap();
    let (object, _) = shed.store.all_objects().unwrap().remove(0);
    std::fs::File::options().write(true).open(&object).unwrap().set_len(70_000).unwrap();
    let second = shed.add(&tar(b"2"), 4096).unwrap();
    assert!(shed.tar(&second) == tar(b"2") && std::fs::read(&object).unwrap() == large);
    assert!(std::fs::read(shed.tree(&second).join("large")).unwrap() == large);
}

#[test]
fn the_same_entry_twice_is_the_last_and_the_tar_stays() {
    let shed = Shed::new();
    let tar = Archive::new()
        .file("a", b"first")
        .file("dir/x", b"in a folder")
        .file("dir/y", &content(70_000, 9))
        .file("a", b"second")
        .file("a", b"third")
        .file("dir", b"no folder any more")
        .symlink("a", "elsewhere")
        .file("dir", b"again")
        .folder("dir")
        .file("dir/x", b"new")
        .end();
    let diff_id = shed.add(&tar, 700).unwrap();
    assert_eq!(shed.tar(&diff_id), tar);
    assert_eq!(std::fs::read(shed.tree(&diff_id).join("dir/x")).unwrap(), b"new");
    assert_eq!(std::fs::read_dir(shed.tree(&diff_id).join("dir")).unwrap().count(), 1);
    assert!(shed.tree(&diff_id).join("a").is_symlink());
}

#[test]
fn whiteouts_are_overlays() {
    let shed = Shed::new();
    let tar = Archive::new()
        .file("a/.wh.gone", b"")
        .file("a/.wh..wh..opq", b"")
        .file(".wh..wh.aufs", b"ignored")
        .folder("stays")
        .file(".wh.stays", b"")
        .file(".wh.first", b"with content")
        .folder("first")
        .file(".wh.deep", b"")
        .file("deep/in", b"")
        .end();
    let diff_id = shed.add(&tar, 4096).unwrap();
    assert_eq!(shed.tar(&diff_id), tar);
    let tree = shed.tree(&diff_id);
    let gone = tree.join("a/gone").symlink_metadata().unwrap();
    assert_eq!((gone.mode() & 0o170_000, gone.rdev()), (0o020_000, 0));
    for opaque in ["a", "stays", "first", "deep"] {
        let mut value = [0; 4];
        let length = rustix::fs::lgetxattr(tree.join(opaque), "trusted.overlay.opaque", &mut value);
        assert_eq!(length.map(|length| value[..length].to_vec()), Ok(b"y".to_vec()), "{opaque}");
    }
    assert!(!tree.join(".wh..wh.aufs").exists());
}

#[test]
fn files_with_holes_keep_them() {
    let shed = Shed::new();
    // GNU tar makes all of its forms of one file.
    let source = shed.folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let file = std::fs::File::create(source.join("holes")).unwrap();
    use std::os::unix::fs::FileExt;
    for at in 0..60u64 {
        file.write_all_at(&content(5000, at), at * 1_000_000).unwrap();
    }
    file.set_len(70_000_000).unwrap();
    for form in ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"] {
        let mut command = std::process::Command::new("tar");
        if form.starts_with("--sparse") {
            command.arg("--format=posix");
        }
        let made = command.args([form, "-S", "-cf", "-", "-C"]).arg(&source).arg("holes").output().unwrap();
        assert!(made.status.success(), "{made:?}");
        assert!(made.stdout.len() < 1_000_000);
        let diff_id = shed.add(&made.stdout, 10_000).unwrap();
        assert_eq!(shed.tar(&diff_id), made.stdout, "{form}");
        let unpacked = shed.tree(&diff_id).join("holes");
        assert!(std::fs::read(&unpacked).unwrap() == std::fs::read(source.join("holes")).unwrap(), "{form}");
        assert!(unpacked.metadata().unwrap().blocks() * 512 < 1_000_000, "{form}");
    }
}

#[test]
fn a_layer_whose_digest_was_not_known_is_named_by_it() {
    let shed = Shed::new();
    let tar = assorted();
    for _ in 0..2 {
        let mut writer = shed.store.begin_unknown_layer().unwrap();
        writer.take(&tar).unwrap();
        assert_eq!(writer.finish().unwrap(), digest(&tar));
        assert_eq!(shed.layers().len(), 1);
    }
}

#[test]
fn what_is_dropped_leaves_nothing_and_what_was_killed_is_cleared() {
    let shed = Shed::new();
    let tar = assorted();
    let diff_id = digest(&tar);
    let Claim::New(mut writer) = shed.store.begin_layer(&diff_id).unwrap() else { panic!() };
    writer.take(&tar[..tar.len() / 2]).unwrap();
    assert_eq!(shed.layers().len(), 1);
    drop(writer);
    assert!(shed.layers().is_empty());
    let left = shed.store.staging(diff_id.hex());
    std::fs::create_dir_all(left.join("tree/usr")).unwrap();
    std::fs::write(left.join("recipe"), "half").unwrap();
    shed.add(&tar, 4096).unwrap();
    assert_eq!(shed.layers(), [diff_id.hex()]);
}

#[test]
fn u13_of_many_who_bring_a_layer_at_once_one_unpacks() {
    let shed = Shed::new();
    let tar = assorted();
    let unpacked: usize = std::thread::scope(|scope| {
        let one = || {
            let mut writer = loop {
                match shed.store.begin_layer(&digest(&tar)).unwrap() {
                    Claim::New(writer) => break writer,
                    Claim::Present => return 0,
                    Claim::Busy(busy) => busy.wait().unwrap(),
                }
            };
            for piece in tar.chunks(1000) {
                writer.take(piece).unwrap();
            }
            writer.finish().unwrap();
            1
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(unpacked, 1);
    assert_eq!(shed.layers().len(), 1);
    assert_eq!(shed.tar(&digest(&tar)), tar);
}

#[test]
fn a_damaged_layer_is_told_from_a_whole_one() {
    let shed = Shed::new();
    let diff_id = shed.add(&assorted(), 4096).unwrap();
    let read = || {
        let mut tar = Vec::new();
        let error = shed.store.layer_tar(&diff_id).unwrap().read_to_end(&mut tar).unwrap_err();
        layer_error(error, "reading")
    };
    std::fs::write(shed.tree(&diff_id).join("usr/bin/su"), "SMALL").unwrap();
    let error = read();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("is damaged"), "{error}");
    std::fs::write(shed.tree(&diff_id).join("usr/bin/su"), "small").unwrap();
    let (object, _) = shed.store.all_objects().unwrap().remove(0);
    std::fs::remove_file(&object).unwrap();
    assert_eq!(read().exit_code(), 4);
}

#[test]
fn a_link_of_a_lower_layer_does_not_lead_to_the_machines_folders() {
    let shed = Shed::new();
    let machine = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(machine.path().join("sub/deep")).unwrap();
    let target = machine.path().to_str().unwrap();
    let below = shed.add(&Archive::new().symlink("a", target).end(), 4096).unwrap();
    let above = shed.add(&Archive::new().file("a/sub/deep/f", b"x").end(), 4096).unwrap();
    let lower = super::super::lower::Lower::open(&shed.store, &[below, above]).unwrap();
    for path in ["a", "a/sub", "a/sub/deep"] {
        assert_eq!(lower.described(std::path::Path::new(path)).unwrap(), None, "{path}");
    }
}
