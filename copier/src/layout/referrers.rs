//! Referrers in a layout: nothing lists them, so everything that index.json reaches is looked at.

use std::collections::BTreeSet;

use berth_oci::{Descriptor, Digest, manifest::MAX_INDEX_DEPTH};

use super::{Index, Store};
use crate::{Error, Result, dir::referrer};

/// Most manifests that are read for one list (C11).
const MAX_NODES: usize = 10_000;

/// Every manifest whose subject is `subject`.
pub(super) fn referrers(store: &Store, index: &Index, subject: &Digest) -> Result<Vec<Descriptor>> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut open: Vec<(Descriptor, usize)> = index.entries().map(|entry| (entry.clone(), 0)).collect();
    open.reverse();
    while let Some((entry, depth)) = open.pop() {
        if !seen.insert(entry.digest.clone()) {
            continue;
        }
        if seen.len() > MAX_NODES {
            return Err(Error::Integrity(format!("{}: more than {MAX_NODES} manifests", store.place())));
        }
        let raw = match store.manifest(&entry.digest, Some(entry.media_type)) {
            Ok(raw) => raw,
            // Indexes may be sparse.
            Err(Error::NotFound { .. }) => continue,
            Err(fault) => return Err(fault),
        };
        // What is no manifest has no subject; whoever asks for it by digest is told why.
        let Ok(manifest) = raw.parse() else { continue };
        if manifest.subject.as_ref().is_some_and(|own| own.digest == *subject) {
            found.push(referrer(&raw, &manifest));
        }
        if depth < MAX_INDEX_DEPTH {
            open.extend(manifest.manifests.into_iter().rev().map(|child| (child, depth + 1)));
        }
    }
    Ok(found)
}
