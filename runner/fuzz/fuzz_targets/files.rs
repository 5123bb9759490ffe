#![no_main]
//! Tars that `cp` unpacks, for real, in a folder in memory: nothing is written beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use libfuzzer_sys::fuzz_target;

const PREFIX: &str = "berth-runner-fuzz-";

/// A folder of this process. Those of processes that are gone go: libFuzzer leaves without running destructors.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
    for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if !Path::new("/proc").join(id).exists() {
            // Another run may sweep at the same time.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
    root.join(format!("{PREFIX}{}", std::process::id()))
});

// As in `layer`: a checksum that nobody guesses.
fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let into = FOLDER.join("into");
    fs::create_dir_all(&into).expect("a folder");
    std::os::unix::fs::symlink("..", into.join("out")).expect("a link");
    berth_runner::fuzzing::files(&bytes, &into);
    let beside = fs::read_dir(&*FOLDER).expect("a folder").count();
    assert_eq!(beside, 1, "something is beside the folder");
    fs::remove_dir_all(&*FOLDER).expect("a folder");
});
