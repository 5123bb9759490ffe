#![no_main]
//! policy.json. What is taken is JSON for others too, and has a requirement for every image.

use berth_copier::policy::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(policy) = Policy::parse(bytes, false) {
        serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
        for name in ["docker://a.example/b/c:1", "dir:/x/y", "oci:/x:y", "docker-archive:/x"] {
            assert!(!policy.requirements(&name.parse().expect("a name")).is_empty());
        }
    }
});
