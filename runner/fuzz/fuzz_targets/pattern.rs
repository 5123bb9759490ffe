#![no_main]
//! Patterns for images' names.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_runner::fuzzing::pattern(text));
