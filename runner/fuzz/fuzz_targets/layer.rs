#![no_main]
//! The tar of a layer: headers, PAX, holes, names. In pieces of another size it means the same.

use libfuzzer_sys::fuzz_target;

// A checksum that nobody guesses would keep everything behind the first header out of reach: blocks that begin an entry
// get theirs.
fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    berth_runner::fuzzing::layer(&bytes);
});
