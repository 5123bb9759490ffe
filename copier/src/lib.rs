//! The copier as a library: what the command line, the registry's pull-through and the runner's
//! pull stand on. It begins with what needs no network: the digest that a manifest has.

mod manifest_digest;

pub use manifest_digest::{ManifestDigestError, manifest_digest};
