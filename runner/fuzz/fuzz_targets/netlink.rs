#![no_main]
//! Answers of the kernel about links, addresses, routes and packet filters.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_runner::fuzzing::netlink(bytes));
