#![no_main]
//! OpenPGP: keyrings, and signed messages under a keyring of the input's first part.

use berth_copier::signature::openpgp::{Keyring, read_without_verification};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (ring, message) = input;
    let _any = read_without_verification(&message);
    for bytes in [&ring, &message] {
        if let Ok(ring) = Keyring::parse(bytes) {
            assert!(!ring.fingerprints().is_empty());
            let now = jiff::Timestamp::from_second(1_800_000_000).expect("a time");
            let _any = ring.verify(&message, now);
        }
    }
});
