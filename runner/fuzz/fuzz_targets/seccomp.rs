#![no_main]
//! Profiles of system calls: what is compiled is a program that the kernel takes.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_runner::fuzzing::seccomp(bytes));
