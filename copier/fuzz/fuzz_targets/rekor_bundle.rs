#![no_main]
//! Bundles of the transparency log. No input is signed by the key.

use std::sync::LazyLock;

use berth_copier::signature::sigstore::{
    PublicKey,
    rekor::{Entry, verify},
};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::from_pem(berth_copier_fuzz::P256.as_bytes()).expect("a key"));

fuzz_target!(|bytes: &[u8]| {
    let entry =
        Entry { key_or_certificate: berth_copier_fuzz::P256.as_bytes(), signature: "AAAA", payload: b"{}" };
    assert!(verify(std::slice::from_ref(&KEY), bytes, &entry).is_err());
});
