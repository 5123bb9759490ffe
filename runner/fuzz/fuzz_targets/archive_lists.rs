#![no_main]
//! Lists of images in archives.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_runner::fuzzing::archive_lists(bytes));
