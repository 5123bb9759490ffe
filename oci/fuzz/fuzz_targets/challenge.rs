#![no_main]
//! Challenges: what is taken renders and parses to the same list.

use berth_oci::auth::{Bearer, Challenge};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(challenges) = Challenge::parse_all(text) {
        let header: Vec<String> = challenges.iter().map(ToString::to_string).collect();
        let header = header.join(", ");
        assert!(!header.contains(['\r', '\n', '\0']));
        assert_eq!(Challenge::parse_all(&header), Ok(challenges));
    }
    // Any text in a field renders to one challenge and not to two.
    let bearer = Bearer { realm: text.to_owned(), scope: Some(text.to_owned()), ..Bearer::default() };
    let rendered = Challenge::Bearer(bearer).to_string();
    assert!(!rendered.contains(['\r', '\n', '\0']));
    assert_eq!(Challenge::parse_all(&rendered).map(|list| list.len()), Ok(1));
});
