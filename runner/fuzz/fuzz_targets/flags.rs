#![no_main]
//! Volumes, mounts, devices, ports, hosts: no mount hides the root or leads out of it.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_runner::fuzzing::flags(text));
