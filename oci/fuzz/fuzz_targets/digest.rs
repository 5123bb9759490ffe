#![no_main]
//! Digests, repository names, tags: what is taken is rendered as it was.

use berth_oci::{Digest, ManifestReference, Platform, RepoName, Tag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
        assert_eq!(digest.hex().len(), digest.algorithm().hex_len());
    }
    if let Ok(name) = text.parse::<RepoName>() {
        assert_eq!(name.as_str(), text);
        assert!(!text.contains("..") && !text.starts_with('/'));
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(text.parse(), Ok(ManifestReference::Tag(tag)));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert_eq!(platform.to_string(), text);
    }
});
