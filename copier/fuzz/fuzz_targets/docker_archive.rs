#![no_main]
//! `docker-archive:`: any file, of which everything that can be read is read.

use berth_copier_fuzz::{folder, read_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = folder().join("archive.tar");
    std::fs::write(&path, bytes).expect("a file");
    read_all(&format!("docker-archive:{}", path.display()));
});
