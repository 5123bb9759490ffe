#![no_main]
//! Keys to encrypt layers for and to decrypt them with.

use berth_copier::{
    Secret,
    encryption::{DecryptionKey, Recipient},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _any = Recipient::from_bytes(bytes);
    let _any = DecryptionKey::from_bytes(bytes, None);
    let _any = DecryptionKey::from_bytes(bytes, Some(&Secret::new("x")));
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        let _any = DecryptionKey::from_bytes(&berth_copier_fuzz::pem(label, bytes), None);
    }
    for label in ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"] {
        let _any = Recipient::from_bytes(&berth_copier_fuzz::pem(label, bytes));
    }
});
