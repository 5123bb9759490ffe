#![no_main]
//! Manifests: what is taken is JSON for others too, kept byte for byte, and taken again under the
//! type that it was given.

use berth_oci::{Manifest, manifest::referrers_index};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let raw = Bytes::copy_from_slice(bytes);
    for content_type in [None, Some("application/vnd.example+json".into())] {
        let manifest = match Manifest::parse(raw.clone(), content_type.as_ref()) {
            Ok(manifest) => manifest,
            Err(error) => {
                // It goes into answers and logs.
                assert!(!error.to_string().contains(char::is_control));
                continue;
            }
        };
        assert_eq!(manifest.raw, raw);
        // serde_json agrees, but for its limits: 127 levels, and numbers that fit a float.
        if let Err(error) = serde_json::from_slice::<serde_json::Value>(bytes) {
            let text = error.to_string();
            assert!(text.contains("recursion limit") || text.contains("number out of range"), "{text}");
        }
        let again = Manifest::parse(raw.clone(), Some(&manifest.media_type));
        assert_eq!(again.as_ref(), Ok(&manifest));
        let index = referrers_index(manifest.manifests.iter().cloned());
        if index.len() <= berth_oci::manifest::MAX_MANIFEST_BYTES {
            let index = Manifest::parse(index.into(), None).expect("own index");
            assert_eq!(index.manifests, manifest.manifests);
        }
    }
});
