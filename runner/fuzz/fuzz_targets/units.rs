#![no_main]
//! Sizes, durations, signals, limits: what is read can be said again.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_runner::fuzzing::units(text));
