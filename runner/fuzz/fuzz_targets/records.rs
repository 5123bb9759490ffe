#![no_main]
//! The store's recipes, cached filters, logs, and the words of a supervisor's socket.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_runner::fuzzing::records(bytes));
