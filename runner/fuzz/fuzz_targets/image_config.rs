#![no_main]
//! Configurations of images.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_runner::fuzzing::image_config(bytes));
