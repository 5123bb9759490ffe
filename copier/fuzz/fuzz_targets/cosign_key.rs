#![no_main]
//! cosign's private keys: the JSON in the PEM, and the PEM.

use berth_copier::{Secret, signature::sigstore::PrivateKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for text in [bytes.to_vec(), berth_copier_fuzz::pem("ENCRYPTED SIGSTORE PRIVATE KEY", bytes)] {
        let _any = PrivateKey::from_pem(&text, &Secret::new("passphrase"));
    }
});
