#![no_main]
//! auth.json and .dockercfg, asked for keys with and without paths. (Programs that a file names are not found.)

use berth_copier::Side;
use berth_copier::config::{AuthFile, Credentials, Environment};
use berth_copier_fuzz::{folder, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = folder().join("auth.json");
    std::fs::write(&path, bytes).expect("a file");
    for file in [AuthFile::Containers(path.clone()), AuthFile::Docker(path.clone())] {
        let environment = Environment::under(folder());
        let credentials = Credentials::in_environment(&Side::default(), environment).with_file(Some(file));
        for key in ["a.example/b/c", "docker.io", "localhost:5000/x"] {
            if let Err(error) = run(credentials.find_key(key)) {
                let _text = error.to_string();
            }
        }
    }
});
