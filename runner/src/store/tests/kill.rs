//! F24: whoever is killed leaves nothing that harms.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use super::*;

const FOLDER: &str = "BERTH_TEST_KILLED_STORE";

fn tar(seed: u64) -> Vec<u8> {
    let mut archive = Archive::new();
    for file in 0..20 {
        let length = if file % 4 == 0 { 100_000 } else { 900 };
        // Every other layer only passes through what the others describe.
        if seed.is_multiple_of(2) {
            archive = archive.folder(&format!("d{file}"));
        }
        archive = archive.file(&format!("d{file}/f"), &content(length, seed * 7 + file % 9));
    }
    archive.end()
}

/// Not a test of its own: what the test below starts and kills.
#[test]
fn f24_child_adds_and_removes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let store = Store::open(&Folders { store: folder.join("store"), run: folder.join("run") }).unwrap();
    let shed = Shed { folder: tempfile::tempdir().unwrap(), store };
    loop {
        for seed in 0..4 {
            let hold = shed.store.hold().unwrap();
            let layers = [shed.add(&tar(seed), 5000).unwrap(), shed.add(&tar(seed + 1), 5000).unwrap()];
            let image = shed.image(&layers, &["localhost/app:1", &format!("localhost/app:{seed}")]);
            drop(hold);
            if seed % 2 == 1 {
                shed.store.remove_image(&image.manifest).unwrap();
            } else {
                shed.store.prune_images(false).unwrap();
            }
        }
    }
}

#[test]
fn f24_a_store_is_whole_after_a_kill_at_any_moment() {
    let rounds: u64 = std::env::var("BERTH_TEST_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    let folder = tempfile::Builder::new().prefix("berth-store-").tempdir().unwrap();
    let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
    let store = Store::open(&folders).unwrap();
    let (mut staging, mut seen) = (0, 0);
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::kill::f24_child_adds_and_removes_until_it_is_killed"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The moment is what is tried out, no condition is waited for.
        std::thread::sleep(Duration::from_micros(5_000 + round * 79_193 % 300_000));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&ended),
            Some(9),
            "it failed by itself: {ended}"
        );
        let report = store.check().unwrap();
        assert!(report.damage.is_empty(), "round {round}: {:?}", report.damage);
        for image in store.images().unwrap() {
            super::passed::assert_whole(&store, &image);
        }
        staging += usize::from(report.leftovers.iter().any(|path| path.to_string_lossy().contains("/.")));
        seen += usize::from(!store.images().unwrap().is_empty());
        if round % 10 == 9 {
            store.prune_images(true).unwrap();
            let report = store.check().unwrap();
            assert!(report.leftovers.is_empty() && report.layers == 0, "{report:?}");
        }
    }
    assert!(rounds < 100 || (staging > 3 && seen > 3), "{staging} kills left staging, {seen} an image");
}
