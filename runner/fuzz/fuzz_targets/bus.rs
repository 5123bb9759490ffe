#![no_main]
//! Answers of systemd.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_runtime::fuzzing::bus(bytes));
