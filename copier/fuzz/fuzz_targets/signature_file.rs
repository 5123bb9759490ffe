#![no_main]
//! Files of signatures: what is taken is written and read as the same.

use berth_copier::signature::Signature;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(signature) = Signature::from_file_bytes(bytes) {
        let written = signature.to_file_bytes();
        assert_eq!(Signature::from_file_bytes(&written).ok(), Some(signature));
    }
});
