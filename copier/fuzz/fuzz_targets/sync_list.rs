#![no_main]
//! `sync --src yaml`: what is taken has repositories under registries.

use berth_copier_fuzz::folder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = folder().join("list.yaml");
    std::fs::write(&path, bytes).expect("a file");
    if let Ok(registries) = berth_copier::sync::config::read(&path) {
        for registry in registries {
            assert!(!registry.name.is_empty());
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(constraint) = berth_copier::sync::Constraint::parse(text)
    {
        let _any = (constraint.fits("1.2.3"), constraint.fits(text));
    }
});
