#![no_main]
//! Error bodies: what is taken renders and parses to the same body.

use berth_oci::ErrorBody;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(bytes) {
        let text = serde_json::to_vec(&body).expect("a body serialises");
        assert_eq!(serde_json::from_slice::<ErrorBody>(&text).ok(), Some(body));
    }
});
