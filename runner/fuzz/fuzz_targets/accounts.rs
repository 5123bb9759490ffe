#![no_main]
//! A user in an image's `/etc/passwd` and `/etc/group`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_runner::fuzzing::accounts(text));
