#![no_main]
//! Wrapped keys of encrypted layers, for a key of each kind.

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_copier::encryption::{DecryptionKey, add_recipients};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<Vec<DecryptionKey>> = LazyLock::new(|| {
    vec![DecryptionKey::from_bytes(berth_copier_fuzz::P256_PRIVATE.as_bytes(), None).expect("a key")]
});

fuzz_target!(|bytes: &[u8]| {
    let name = "org.opencontainers.image.enc.keys.jwe".to_owned();
    for text in [STANDARD.encode(bytes), String::from_utf8_lossy(bytes).into_owned()] {
        assert!(add_recipients(&BTreeMap::from([(name.clone(), text)]), &KEYS, &[]).is_err());
    }
});
