#![no_main]
//! Names of images: what is taken is written so that it is read as the same.

use berth_copier::ImageName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<ImageName>() {
        let written = name.to_string();
        assert_eq!(written.parse::<ImageName>().ok(), Some(name), "{written:?}");
    }
});
