#![no_main]
//! Signed payloads: what is taken speaks of one image; nothing changed is taken for the same.

use berth_copier::signature::payload::{Kind, Payload};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for kind in [Kind::Simple, Kind::Sigstore] {
        if let Ok(payload) = Payload::parse(kind, bytes) {
            let written = payload.to_bytes(kind);
            let again = Payload::parse(kind, &written).expect("its own form");
            assert_eq!((again.reference, again.digest), (payload.reference.clone(), payload.digest.clone()));
            let _any = payload.verify_digest(bytes);
        }
    }
});
