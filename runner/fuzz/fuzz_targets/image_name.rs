#![no_main]
//! Names for images.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_runner::fuzzing::image_name(text));
