//! The same archives unpacked by others.

use std::process::Command;

use super::*;
use crate::unpack::builder::{Member, listing};

fn run(command: &mut Command) -> std::process::Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// Real files and odd ones.
fn sources(folder: &std::path::Path) -> PathBuf {
    let root = folder.join("source");
    std::fs::create_dir(&root).unwrap();
    run(Command::new("cp")
        .arg("-a")
        .args(["/usr/share/doc/tar", "/usr/share/doc/bash", "/usr/share/zoneinfo/Europe", "/bin/ls"])
        .arg(&root));
    let odd = root.join("odd");
    std::fs::create_dir(&odd).unwrap();
    for name in ["a b", "nl\nin name", "ümlaut", &"long".repeat(60)] {
        std::fs::write(odd.join(name), name).unwrap();
    }
    let deep: PathBuf =
        odd.join(["x".repeat(90), "y".repeat(90), "z".repeat(90)].iter().collect::<PathBuf>());
    std::fs::create_dir_all(&deep).unwrap();
    std::os::unix::fs::symlink("t".repeat(180), deep.join("link")).unwrap();
    std::fs::write(odd.join("one"), content(90_000, 3)).unwrap();
    std::fs::hard_link(odd.join("one"), deep.join("other")).unwrap();
    std::os::unix::fs::symlink("nowhere", odd.join("dangling")).unwrap();
    std::fs::hard_link(odd.join("dangling"), odd.join("dangling2")).unwrap();
    run(Command::new("mkfifo").arg(odd.join("pipe")));
    run(Command::new("mknod").arg(odd.join("zero")).args(["c", "1", "5"]));
    std::os::unix::fs::chown(odd.join("one"), Some(3_000_000), Some(4_000_000)).unwrap();
    run(Command::new("chmod").arg("6711").arg(odd.join("one")));
    run(Command::new("chmod").arg("1777").arg(&odd));
    run(Command::new("touch").args(["-h", "-d", "1960-01-02 03:04:05.678901234"]).arg(odd.join("a b")));
    rustix::fs::setxattr(odd.join("one"), "user.x", b"\0=\n", rustix::fs::XattrFlags::empty()).unwrap();
    root
}

#[test]
fn gnu_tar_unpacks_to_the_same_tree() {
    let shed = Shed::new();
    let source = sources(shed.folder.path());
    for format in [
        &["--format=gnu"][..],
        &["--format=posix", "--xattrs"],
        &["--format=posix", "--sort=name", "--numeric-owner"],
    ] {
        let made =
            run(Command::new("tar").args(format).args(["-cf", "-", "-C"]).arg(&source).arg(".")).stdout;
        let diff_id = shed.add(&made, 9999).unwrap();
        assert!(shed.tar(&diff_id) == made, "{format:?}");
        let theirs = tempfile::tempdir_in(shed.folder.path()).unwrap();
        std::fs::write(shed.folder.path().join("archive"), &made).unwrap();
        let xattrs =
            if format.contains(&"--xattrs") { &["--xattrs", "--xattrs-include=user.*"][..] } else { &[] };
        run(Command::new("tar")
            .args(["-x", "-p", "--numeric-owner"])
            .args(xattrs)
            .arg("-f")
            .arg(shed.folder.path().join("archive"))
            .arg("-C")
            .arg(theirs.path()));
        let (ours, theirs) = (listing(&shed.tree(&diff_id)), listing(theirs.path()));
        assert_eq!(ours, theirs, "{format:?}");
    }
}

#[test]
fn umoci_unpacks_to_the_same_tree() {
    let shed = Shed::new();
    let source = sources(shed.folder.path());
    // umoci makes no devices of a layer that it takes from a folder with them otherwise than we do: the odd one stays.
    let made =
        run(Command::new("tar").args(["--format=posix", "-cf", "-", "-C"]).arg(&source).arg(".")).stdout;
    let diff_id = shed.add(&made, 9999).unwrap();
    let tar = shed.folder.path().join("layer.tar");
    std::fs::write(&tar, &made).unwrap();
    assert_eq!(listing(&shed.tree(&diff_id)), listing(&unpacked_by_umoci(&shed, &tar)));
}

/// The tree that umoci makes of a layer.
fn unpacked_by_umoci(shed: &Shed, tar: &std::path::Path) -> PathBuf {
    let layout = shed.folder.path().join("layout");
    run(Command::new("umoci").arg("init").arg("--layout").arg(&layout));
    let image = format!("{}:a", layout.display());
    run(Command::new("umoci").args(["new", "--image", &image]));
    run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(tar));
    let bundle = shed.folder.path().join("rootfs");
    run(Command::new("umoci").args(["raw", "unpack", "--image", &image]).arg(&bundle));
    bundle
}

/// The first line that differs: all of them are too many to read.
fn difference<'a>(one: &'a [String], other: &'a [String]) -> Option<(&'a String, &'a String)> {
    one.iter().zip(other).find(|(one, other)| one != other)
}

/// KiB on disk, links counted once.
fn disk(path: &std::path::Path) -> u64 {
    let output = run(Command::new("du").arg("-sk").arg(path));
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// Two builds of Debian from the same packages on two days, where somebody made them (debootstrap):
/// `~/.cache/berth/debian/base1.tar` and `base2.tar`. They take minutes to make and so are nobody's duty; what is odd
/// about archives is in [`sources`].
#[test]
fn a_whole_debian_is_the_tree_of_gnu_tar_and_of_umoci_and_two_of_them_share_their_files() {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let [first, second] = ["base1.tar", "base2.tar"].map(|name| home.join(".cache/berth/debian").join(name));
    if !first.exists() || !second.exists() {
        eprintln!("skipped: {} and its like are not there", first.display());
        return;
    }
    let shed = Shed::new();
    let plain = shed.folder.path().join("plain");
    let unpack = |tar: &std::path::Path, name: &str| {
        let to = plain.join(name);
        std::fs::create_dir_all(&to).unwrap();
        run(Command::new("tar")
            .args(["-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f"])
            .arg(tar)
            .arg("-C")
            .arg(&to));
        to
    };
    let theirs = unpack(&first, "1");
    let diff_id = shed.add(&std::fs::read(&first).unwrap(), 1 << 20).unwrap();
    let (ours, of_tar) = (listing(&shed.tree(&diff_id)), listing(&theirs));
    assert!(ours.len() > 5000, "{} entries", ours.len());
    assert_eq!((difference(&ours, &of_tar), of_tar.len()), (None, ours.len()));
    let of_umoci = listing(&unpacked_by_umoci(&shed, &first));
    assert_eq!((difference(&ours, &of_umoci), of_umoci.len()), (None, ours.len()));

    let store = shed.store.folders().store.clone();
    let one = (disk(&store), disk(&plain));
    assert!(one.0 * 100 <= one.1 * 103, "{one:?} KiB");
    unpack(&second, "2");
    shed.add(&std::fs::read(&second).unwrap(), 1 << 20).unwrap();
    let both = (disk(&store), disk(&plain));
    assert!(both.0 * 100 <= both.1 * 70, "{both:?} KiB");
    println!("one: {one:?} KiB, both: {both:?} KiB");
}

#[test]
fn archives_of_the_tar_crate_come_back() {
    let shed = Shed::new();
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    let source = shed.folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("n".repeat(200)), "x").unwrap();
    std::os::unix::fs::symlink("l".repeat(200), source.join("link")).unwrap();
    std::fs::write(source.join("large"), content(66_000, 2)).unwrap();
    builder.append_dir_all(".", &source).unwrap();
    let made = builder.into_inner().unwrap();
    let diff_id = shed.add(&made, 77).unwrap();
    assert!(shed.tar(&diff_id) == made);
    assert_eq!(std::fs::read_link(shed.tree(&diff_id).join("link")).unwrap().as_os_str().len(), 200);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn u9_any_sequence_of_entries_comes_back_or_is_refused(
        entries in proptest::collection::vec((0u8..9, "(\\./|/|)([abc]|\\.wh\\.[abc]|\\.\\.){1}(/([abcd]|\\.wh\\.\\.wh\\.\\.opq)){0,2}/?", "[abc](/[abc]){0,2}|\\.\\./a", 0usize..3), 0..25),
        piece in 1usize..2000,
    ) {
        let shed = Shed::new();
        let mut archive = Archive::new();
        for (kind, name, target, size) in &entries {
            let bytes = content([0, 700, 66_000][*size], *size as u64);
            archive = match kind {
                0..=2 => archive.file(name, &bytes),
                3 => archive.folder(name),
                4 => archive.symlink(name, target),
                5 => archive.hard_link(name, target),
                6 => archive.member(Member::new(b'6', name)),
                7 => archive.pax(&[("path", name.as_bytes()), ("mtime", b"1.5")]).file("x", &bytes),
                _ => archive.member(Member::new(b'3', name).device(1, 3)),
            };
        }
        let tar = archive.end();
        match shed.add(&tar, piece) {
            Ok(diff_id) => {
                proptest::prop_assert!(shed.tar(&diff_id) == tar);
                proptest::prop_assert!(shed.store.check().unwrap().damage.is_empty());
            }
            Err(error) => {
                proptest::prop_assert_eq!(error.exit_code(), 4, "{}", error);
                proptest::prop_assert!(shed.layers().is_empty());
            }
        }
    }

    #[test]
    fn u9_no_bytes_make_it_panic(damage in proptest::collection::vec((0usize..12_000, proptest::num::u8::ANY), 0..40), cut in 0usize..14_000, seal: bool) {
        let shed = Shed::new();
        let mut tar = Archive::new()
            .folder("d")
            .pax(&[("path", b"d/long"), ("SCHILY.xattr.user.x", b"1"), ("GNU.sparse.map", b"0,5,600,3"), ("GNU.sparse.size", b"700")])
            .file("x", b"12345678")
            .with(Member::new(b'L', "l").gnu(), b"d/other\0")
            .file("y", &content(3000, 1))
            .symlink("s", "d")
            .hard_link("h", "y")
            .file("s/through", b"1")
            .end();
        for (at, byte) in damage {
            if let Some(place) = tar.get_mut(at) {
                *place = byte;
            }
        }
        tar.truncate(cut.max(1));
        if seal {
            // With the sums right, more of it is read.
            for block in tar.as_chunks_mut::<512>().0 {
                if &block[257..262] == b"ustar" {
                    block[148..156].fill(b' ');
                    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
                    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
        }
        if let Ok(diff_id) = shed.add(&tar, 333) {
            proptest::prop_assert!(shed.tar(&diff_id) == tar);
        }
    }
}
