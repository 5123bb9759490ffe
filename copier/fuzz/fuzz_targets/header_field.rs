#![no_main]
//! Header fields of answers: Retry-After, Link, Content-Range, Range, RateLimit-Remaining.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| berth_copier::fuzzing::header_field(text));
