#![no_main]
//! Answers of token services and errors of registries.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| berth_copier::fuzzing::token_answer(bytes));
