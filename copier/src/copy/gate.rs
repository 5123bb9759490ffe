//! The policy's word on an image, before anything of it is copied.

use crate::{RawManifest, Result, Session, Source};

/// Whether the policy can be told without the image's manifest: then a copy of what is there already reads none.
pub(super) fn needs_manifest(_session: &Session) -> bool {
    false
}

/// Asks the policy.
///
/// # Errors
/// `Error::Refused`, if it says no.
#[expect(clippy::unused_async, reason = "checks of signatures ask the source")]
pub(super) async fn gate(_session: &Session, _source: &dyn Source, _manifest: &RawManifest) -> Result<()> {
    Ok(())
}
