#![no_main]
//! registries.conf: what is taken answers for names.

use berth_copier::Settings;
use berth_copier::config::{Environment, Registries};
use berth_copier_fuzz::folder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = folder().join("registries.conf");
    std::fs::write(&path, bytes).expect("a file");
    let settings = Settings { registries_conf: Some(path), ..Settings::default() };
    match Registries::load_in(&settings, &Environment::under(folder())) {
        Ok(registries) => {
            for name in ["a.example/b/c:1", "docker.io/library/x", "localhost:5000/x/y"] {
                let reference = name.parse().expect("a name");
                let _any = (registries.pull_candidates(&reference), registries.primary(&reference));
            }
            let _any = (registries.resolve_short("x"), registries.resolve_short("a/b:c"));
        }
        Err(error) => drop(error.to_string()),
    }
});
