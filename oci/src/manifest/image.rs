//! Rules of image manifests: OCI's (image-spec, manifest.md) and Docker's schema 2, which have the
//! same shape.

use super::{ManifestError, document::Document};

/// Asserts that `document` has what an image manifest needs.
pub(super) fn check(document: &Document) -> Result<(), ManifestError> {
    let missing = |path: &str, rule| Err(ManifestError::Missing { path: path.to_owned(), rule });
    if document.manifests.is_some() {
        return Err(ManifestError::Ambiguous { one: "the `mediaType` of an image", other: "`manifests`" });
    }
    if document.config.is_none() {
        return missing("config", "an image manifest names its configuration; artifacts without one name {}");
    }
    if document.layers.is_none() {
        return missing("layers", "an image manifest lists its layers; an empty list is `[]`");
    }
    Ok(())
}
