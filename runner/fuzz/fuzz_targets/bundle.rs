#![no_main]
//! A bundle's `config.json`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_runtime::fuzzing::bundle(bytes));
