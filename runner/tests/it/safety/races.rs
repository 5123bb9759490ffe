//! A container that changes its files while they are looked at from outside.

use std::{fs, path::Path, process::Stdio};

use super::import;
use crate::supervisor::{Machine, machine};

/// Puts a link to the machine's folder in the place of its own, and back, all the time.
const SWAP: &str = "mkdir /v/d; echo own > /v/d/f; ln -s $OUT /v/l; while true; do busybox mv /v/d /v/t; \
                    busybox mv /v/l /v/d; busybox mv /v/d /v/l; busybox mv /v/t /v/d; done";

/// What must never be seen in a container, nor written by one's means.
fn outside(machine: &Machine) -> std::path::PathBuf {
    let outside = machine.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "the machine's own").unwrap();
    outside
}

/// Nothing was made, changed or removed in it.
fn untouched(outside: &Path) {
    assert_eq!(fs::read_to_string(outside.join("f")).unwrap(), "the machine's own");
    assert_eq!(fs::read_dir(outside).unwrap().count(), 1, "something was put there");
}

fn swapping(machine: &Machine, outside: &Path) {
    import(machine);
    let out = format!("OUT={}", outside.display());
    let run = ["run", "-d", "--name", "c", "--network", "none", "-e", &out, "-v", "data:/v", "test:latest"];
    machine.ok(&[&run[..], &["sh", "-c", SWAP]].concat());
}

#[test]
fn a_copy_races_with_links_and_stays_in_the_container() {
    let Some(machine) = machine() else { return };
    let outside = outside(&machine);
    swapping(&machine, &outside);
    let file = machine.path("new");
    fs::write(&file, "from outside").unwrap();
    for _ in 0..60 {
        // Whether it comes to be depends on what is there at the moment.
        machine.run(&["cp", file.to_str().unwrap(), "c:/v/d/new"]);
        let got = machine.path("got");
        machine.run(&["cp", "c:/v/d/f", got.to_str().unwrap()]);
        assert_ne!(fs::read_to_string(&got).unwrap_or_default(), "the machine's own");
    }
    untouched(&outside);
}

#[test]
fn a_volumes_import_and_export_race_with_links_and_stay_in_it() {
    let Some(machine) = machine() else { return };
    let outside = outside(&machine);
    swapping(&machine, &outside);
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["d/", "d/new", "d/f"] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(if name.ends_with('/') { 0 } else { 3 });
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        let content = if name.ends_with('/') { &b""[..] } else { b"new" };
        tar.append_data(&mut header, name, content).unwrap();
    }
    let archive = machine.path("in.tar");
    fs::write(&archive, tar.into_inner().unwrap()).unwrap();
    for _ in 0..60 {
        machine.run(&["volume", "import", "data", archive.to_str().unwrap()]);
        let exported = machine.command(&["volume", "export", "data"]).stderr(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&exported.stdout).into_owned();
        assert!(!text.contains("the machine's own"), "what is outside was read");
    }
    untouched(&outside);
}

#[test]
fn a_folder_of_a_volume_races_with_links_and_is_never_the_machines() {
    let Some(machine) = machine() else { return };
    let outside = outside(&machine);
    swapping(&machine, &outside);
    let mount = "type=volume,source=data,target=/in,subpath=d";
    for _ in 0..40 {
        let run = ["run", "--rm", "--network", "none", "--mount", mount, "test:latest"];
        let output = machine.run(&[&run[..], &["sh", "-c", "cat /in/f; echo mine > /in/mine"]].concat());
        assert!(!String::from_utf8_lossy(&output.stdout).contains("the machine's own"), "{output:?}");
    }
    untouched(&outside);
}
