#![no_main]
//! Files of registries.d.

use berth_copier::config::{Environment, SignatureStorage};
use berth_copier_fuzz::folder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let registries = folder().join("registries.d");
    std::fs::create_dir_all(&registries).expect("a folder");
    std::fs::write(registries.join("a.yaml"), bytes).expect("a file");
    if let Ok(storage) = SignatureStorage::load_in(Some(&registries), &Environment::under(folder())) {
        for name in ["a.example/b/c:1", "docker.io/library/x"] {
            let _any = storage.for_reference(&name.parse().expect("a name"));
        }
    }
});
