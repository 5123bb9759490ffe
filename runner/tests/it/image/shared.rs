//! Files that are stored once, and who may change them: nobody.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use berth_conformance::harness::require_root;

use super::{
    Machine, containers, done, files,
    layout::{Layer, Layout, tar},
};
use crate::program::Runner;

const NAME: &str = "test.example/image:1";

/// Contents of all objects, by their paths.
fn objects(runner: &Runner) -> Vec<(PathBuf, u64, i64, Vec<u8>)> {
    let mut found: Vec<_> = files(&runner.store().join("objects"))
        .into_iter()
        .map(|path| {
            let about = fs::metadata(&path).unwrap();
            let content = fs::read(&path).unwrap();
            (path, u64::from(about.mode()), about.mtime(), content)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn what_a_container_writes_reaches_no_object_no_image_and_no_other_container() {
    if !require_root() {
        return;
    }
    let machine = Machine(Runner::new());
    let runner = &machine.0;
    let data: Vec<u8> = (0..75_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let layers = [containers::layer(), Layer::gzip(&tar(&[("srv/data", &data)]))];
    done(runner, &["pull", "-q", &Layout::of(&layers).name()]);
    let before = objects(runner);
    assert_eq!(before.len(), 2, "busybox and the data");
    let limit = ["--ulimit", "nofile=1024:1024", "--network", "none"];
    let run = |flags: &[&str], script: &str| {
        let words = [&["run"][..], &limit, flags, &[NAME, "/bin/sh", "-c", script]].concat();
        done(runner, &words)
    };
    for (name, users) in [("mapped", &[][..]), ("unmapped", &["--userns", "host"])] {
        // Every way to change a file: appended, overwritten in its middle, its mode, owner, time, names, cut.
        let script = "set -e; b=/bin/busybox; d=/srv/data; echo more >>$d; \
             echo x | $b dd of=$d bs=1 seek=9000 conv=notrunc 2>/dev/null; \
             $b chmod 600 $d; $b chown 12:13 $d; $b touch -d 2001-01-01 $d; \
             $b ln $d /linked; echo y >>/linked; $b truncate -s 70000 /linked; $b wc -c <$d; $b rm $d";
        let size = run(&[&["--name", name][..], users].concat(), script);
        assert_eq!(size.trim(), "70000");
        assert!(objects(runner) == before, "{name}: an object changed");
    }
    // Another container, and the image.
    let seen = run(&["--rm"], "d=/srv/data; /bin/busybox wc -c <$d; /bin/stat -c %a:%u:%g:%Y $d");
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["300000", "644:0:0:0"]);
    let check = done(runner, &["check"]);
    assert!(check.ends_with("0 damaged, 0 unused"), "{check}");
    let told = done(runner, &["diff", "mapped"]);
    assert!(told.contains("D /srv/data") && told.contains("A /linked"), "{told}");
}

#[test]
fn a_file_of_two_images_is_on_disk_once_and_goes_with_the_last() {
    let runner = Runner::new();
    let large: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let image = |own: &[u8]| Layout::of(&[Layer::gzip(&tar(&[("large", &large), ("own", own)]))]);
    for (own, name) in [(&large[1..5000], "one"), (&large[2..6000], "two")] {
        done(&runner, &["pull", "-q", &image(own).name()]);
        done(&runner, &["tag", NAME, name]);
    }
    done(&runner, &["rmi", NAME]);
    let objects = || {
        let mut found: Vec<u64> = files(&runner.store().join("objects"))
            .iter()
            .map(|path| fs::metadata(path).unwrap())
            .map(|about| about.len())
            .collect();
        found.sort_unstable();
        found
    };
    assert_eq!(objects(), [4999, 5998, 800_000]);
    done(&runner, &["rmi", "one"]);
    assert_eq!(objects(), [5998, 800_000]);
    assert!(done(&runner, &["check"]).ends_with("0 damaged, 0 unused"));
    done(&runner, &["rmi", "two"]);
    super::assert_empty(&runner);
}
