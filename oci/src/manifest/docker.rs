//! What Docker's formats add to OCI's rules.

use super::{Family, ManifestError, document::Document};
use crate::MediaType;

/// Refuses schema 1, by its media types or by its version number.
///
/// A manifest of a type that nobody knows may count its own versions; it is refused only where it
/// also has schema 1's list of layers.
pub(super) fn refuse_schema1(document: &Document, stated: Option<&MediaType>) -> Result<(), ManifestError> {
    let family = stated.map(Family::of);
    let version1 = matches!(document.schema_version, Some(Ok(1)));
    let by_version = version1 && (document.fs_layers || family != Some(Family::Unknown));
    if by_version || family == Some(Family::Schema1) { Err(ManifestError::Schema1) } else { Ok(()) }
}
