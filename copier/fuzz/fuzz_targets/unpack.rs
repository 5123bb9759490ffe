#![no_main]
//! gzip and zstd: no more comes out than is allowed.

use berth_copier::compression::{Limits, Recipe, Recompressed};
use berth_copier_fuzz::{Memory, drain};
use libfuzzer_sys::fuzz_target;

const MOST: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { bytes: MOST, ratio: 100, free: 64 << 10 };
    let recipe = Recipe { limits, ..Recipe::default() };
    let content = Recompressed::new(Box::new(Memory(bytes.to_vec().into())), recipe);
    if let Ok(plain) = drain(&content) {
        assert!(plain <= MOST.max(bytes.len() as u64));
        assert_eq!(content.facts().expect("facts at the end").plain_size, plain);
    }
});
