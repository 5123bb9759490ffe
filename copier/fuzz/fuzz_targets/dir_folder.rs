#![no_main]
//! A `dir:` folder: its manifest as the input has it, and its first signature.

use berth_copier_fuzz::{folder, read_all};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let place = folder().join("dir");
    std::fs::create_dir_all(&place).expect("a folder");
    for name in ["manifest.json", "signature-1"] {
        std::fs::write(place.join(name), bytes).expect("a file");
    }
    read_all(&format!("dir:{}", place.display()));
});
