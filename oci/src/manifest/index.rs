//! Rules of indexes: OCI's (image-spec, image-index.md) and Docker's manifest list. And the one
//! index that a registry makes itself, the answer to a referrers request.

use serde::Serialize;

use super::{ManifestError, document::Document};
use crate::{Descriptor, MediaType};

/// Asserts that `document` has what an index needs.
pub(super) fn check(document: &Document) -> Result<(), ManifestError> {
    if document.layers.is_some() || document.config.is_some() {
        let other = if document.layers.is_some() { "`layers`" } else { "`config`" };
        return Err(ManifestError::Ambiguous { one: "the `mediaType` of an index", other });
    }
    if document.manifests.is_none() {
        return Err(ManifestError::Missing {
            path: "manifests".to_owned(),
            rule: "an index lists its manifests; an empty list is `[]`",
        });
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Referrers {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

/// The body of a referrers answer: an OCI index of `entries` in the order given
/// (distribution-spec, "Listing Referrers"). The same entries give the same bytes.
#[must_use]
pub fn referrers_index(entries: impl Iterator<Item = Descriptor>) -> Vec<u8> {
    let index =
        Referrers { schema_version: 2, media_type: MediaType::OCI_INDEX, manifests: entries.collect() };
    #[expect(clippy::expect_used, reason = "texts, integers and lists of them always are JSON")]
    serde_json::to_vec(&index).expect("an index of descriptors serialises")
}
