#![no_main]
//! Questions to the name server of a network, and answers of others to them.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_runner::fuzzing::dns(bytes));
