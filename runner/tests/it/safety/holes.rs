//! Files that claim a tebibyte and hold a few bytes.

use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
};

use super::import;
use crate::supervisor::{Machine, kill, machine};

const CLAIMED: u64 = 1 << 40;

/// A container `c` of an image, which made such a file, with `begin` at its begin and `end` at its end.
fn giant(machine: &Machine) {
    import(machine);
    let make = "truncate -s 1099511627776 /giant && echo begin | dd of=/giant conv=notrunc 2>/dev/null && \
                echo end | dd of=/giant conv=notrunc bs=1 seek=1099511627772 2>/dev/null";
    machine.ok(&["run", "--name", "c", "--network", "none", "test:latest", "sh", "-c", make]);
}

/// It claims all of it and holds nearly nothing.
fn is_giant(path: &std::path::Path) {
    let file = fs::File::open(path).unwrap();
    let about = file.metadata().unwrap();
    assert_eq!(about.len(), CLAIMED);
    assert!(about.blocks() * 512 < 1 << 20, "{} blocks", about.blocks());
    let mut text = [0; 6];
    file.read_exact_at(&mut text, 0).unwrap();
    assert_eq!(&text, b"begin\n");
    file.read_exact_at(&mut text[..4], CLAIMED - 4).unwrap();
    assert_eq!(&text[..4], b"end\n");
}

#[test]
fn a_file_of_holes_is_copied_out_and_in_and_exported_with_its_holes() {
    let Some(machine) = machine() else { return };
    giant(&machine);
    let out = machine.path("out");
    machine.ok(&["cp", "c:/giant", out.to_str().unwrap()]);
    is_giant(&out);
    machine.ok(&["cp", out.to_str().unwrap(), "c:/again"]);
    machine.ok(&["cp", "c:/again", machine.path("twice").to_str().unwrap()]);
    is_giant(&machine.path("twice"));
    let changed = machine.ok(&["diff", "c"]);
    assert!(changed.contains("A /again\n") && changed.ends_with("A /giant"), "{changed}");

    let tar = machine.path("c.tar");
    machine.ok(&["export", "-o", tar.to_str().unwrap(), "c"]);
    assert!(fs::metadata(&tar).unwrap().len() < 20 << 20);
    // What everybody has reads it.
    let unpacked = machine.path("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let mut gnu = std::process::Command::new("tar");
    let done = gnu.arg("-C").arg(&unpacked).arg("-xf").arg(&tar).args(["giant", "again"]).status().unwrap();
    assert!(done.success());
    is_giant(&unpacked.join("giant"));
    is_giant(&unpacked.join("again"));
}

#[test]
fn a_file_of_holes_is_committed_as_one_and_saved_and_run() {
    let Some(machine) = machine() else { return };
    giant(&machine);
    machine.ok(&["commit", "-q", "c", "made"]);
    let look = "stat -c %s:%b /giant; head -c 6 /giant";
    let seen = machine.ok(&["run", "--rm", "--network", "none", "localhost/made", "sh", "-c", look]);
    let (about, text) = seen.split_once('\n').unwrap();
    let (size, blocks) = about.split_once(':').unwrap();
    assert_eq!((size, text), ("1099511627776", "begin"));
    assert!(blocks.parse::<u64>().unwrap() * 512 < 1 << 20, "{blocks} blocks");
    let saved = machine.path("made.tar");
    machine.ok(&["save", "-o", saved.to_str().unwrap(), "localhost/made"]);
    assert!(fs::metadata(&saved).unwrap().len() < 20 << 20);
    assert!(machine.run(&["check"]).status.success());
    machine.ok(&["rm", "c"]);

    // What no layer may have is refused in words, and nothing of it is there.
    let more = "truncate -s 2199023255552 /giant";
    machine.ok(&["run", "--name", "c", "--network", "none", "test:latest", "sh", "-c", more]);
    let refused = machine.run(&["commit", "c", "too-much"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("giant has 2199023255552 bytes, most of them holes"), "{said}");
    assert!(!machine.ok(&["images", "--format", "{{.Repository}}"]).contains("too-much"));
}

#[test]
fn a_file_of_holes_of_an_image_does_not_fill_a_volume_or_memory() {
    let Some(machine) = machine() else { return };
    let folder = std::path::Path::new(&machine.root()).join("data");
    fs::create_dir(&folder).unwrap();
    fs::create_dir_all(std::path::Path::new(&machine.root()).join("var/tmp")).unwrap();
    let file = fs::File::create(folder.join("giant")).unwrap();
    file.set_len(CLAIMED).unwrap();
    file.write_all_at(b"begin\n", 0).unwrap();
    file.write_all_at(b"end\n", CLAIMED - 4).unwrap();
    fs::File::create(std::path::Path::new(&machine.root()).join("run/giant"))
        .unwrap()
        .set_len(CLAIMED)
        .unwrap();
    import_sparse(&machine);
    machine.ok(&["run", "--rm", "--network", "none", "-v", "filled:/data", "test:latest", "true"]);
    is_giant(&machine.path("store/volumes/filled/data/giant"));
    // Folders of a root that is read-only are memory, which begins with what the image has.
    let look = ["test:latest", "stat", "-c", "%s:%b", "/run/giant"];
    let seen = machine.ok(&[&["run", "--rm", "--network", "none", "--read-only"][..], &look].concat());
    assert_eq!(seen, "1099511627776:0");
}

/// [`import`], of an archive that knows of holes.
fn import_sparse(machine: &Machine) {
    let tar = machine.path("image.tar");
    let mut gnu = std::process::Command::new("tar");
    let made = gnu.args(["--sparse", "-C", &machine.root(), "-cf"]).arg(&tar).arg(".").status().unwrap();
    assert!(made.success());
    machine.ok(&["import", tar.to_str().unwrap(), "test:latest"]);
}

#[test]
fn files_go_in_and_out_also_when_the_supervisor_is_another() {
    let Some(machine) = machine() else { return };
    import(&machine);
    machine.ok(&["run", "-d", "--name", "c", "--network", "none", "test:latest", "sleep", "1000"]);
    kill(&machine.inspect("c", ".State.ConmonPid"));
    machine.ok(&["boot"]);
    let file = machine.path("file");
    fs::write(&file, "from outside").unwrap();
    machine.ok(&["cp", file.to_str().unwrap(), "c:/etc/file"]);
    assert_eq!(machine.ok(&["exec", "c", "cat", "/etc/file"]), "from outside");
    machine.ok(&["cp", "c:/etc/file", machine.path("back").to_str().unwrap()]);
    assert_eq!(fs::read_to_string(machine.path("back")).unwrap(), "from outside");
    machine.ok(&["cp", file.to_str().unwrap(), "c:/dev/shm/file"]);
    assert_eq!(machine.ok(&["exec", "c", "cat", "/dev/shm/file"]), "from outside");
    let tar = machine.path("c.tar");
    machine.ok(&["export", "-o", tar.to_str().unwrap(), "c"]);
    let listed = std::process::Command::new("tar").arg("-tf").arg(&tar).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    assert!(names.contains("etc/file\n") && names.contains("proc/\n"), "{names}");
    assert!(!names.contains("proc/1/") && !names.contains("dev/null"), "what is mounted is in it");
}
