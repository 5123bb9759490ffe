#![no_main]
//! Instructions that change an image's configuration.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_runner::fuzzing::changes(text));
