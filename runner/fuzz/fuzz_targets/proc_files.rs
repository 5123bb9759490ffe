#![no_main]
//! Texts of `/proc` and of control groups, `/etc/subuid`, `/etc/resolv.conf`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_runner::fuzzing::proc_files(text));
