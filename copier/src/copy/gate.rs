//! The policy's word on an image, before anything of it is copied.

use bytes::Bytes;

use crate::{RawManifest, Result, Session, Source};

/// Asks the policy for an image.
///
/// # Errors
/// `Error::Refused`, if it says no; if the policy or what it asks for cannot be read.
pub(super) async fn image(session: &Session, source: &dyn Source, manifest: &RawManifest) -> Result<()> {
    session.policy()?.check(source, manifest).await
}

/// Asks the policy by the image's name alone; `false` if it has to see the manifest.
///
/// # Errors
/// As [`image`].
pub(super) async fn name(session: &Session, source: &dyn Source) -> Result<bool> {
    let policy = session.policy()?;
    if policy.reads_signatures(source.name()) {
        return Ok(false);
    }
    // Nothing but the name is looked at.
    policy.check(source, &RawManifest::new(Bytes::new(), None)).await.map(|()| true)
}
