//! Files become an artifact beside an image, its subject.

use berth_oci::{Descriptor, Platform};

use super::{
    Artifact, Pushed,
    push::{make, open, send},
};
use crate::{Error, ImageName, Result, Role, Session, Side, Source, error::ResultExt, name::LayoutImage};

/// Where an attachment goes besides its subject.
#[derive(Clone, Debug, Default)]
pub struct Attachment {
    /// The child of an index that it is attached to, in place of the index.
    pub platform: Option<Platform>,
}

/// Pushes an artifact whose subject is what a name means. It has no name of its own; it is found by its subject.
///
/// # Errors
/// As [`push`]; and if the subject is not there.
pub async fn attach(
    session: &Session,
    subject: &ImageName,
    side: &Side,
    artifact: &Artifact,
    attachment: &Attachment,
) -> Result<Pushed> {
    if artifact.artifact_type.is_none() && artifact.config.is_none() {
        return Err(Error::Usage(
            "what is attached needs a type, by which it is found again: --artifact-type application/vnd.example.sbom+json"
                .to_owned(),
        ));
    }
    let source = session.source(subject, side).await.context(format!("opening the subject {subject}"))?;
    let found = subject_of(session, source.as_ref(), attachment.platform.as_ref())
        .await
        .context(format!("reading the subject {subject}"))?;
    let made = make(session, artifact, Some(found)).await?;
    let beside = beside(subject)?;
    let sink = open(session, &beside, side).await?;
    send(sink.as_ref(), made, Role::Child, &beside).await
}

/// The repository or layout of a subject, without its tag.
fn beside(subject: &ImageName) -> Result<ImageName> {
    match subject {
        ImageName::Docker { reference, .. } => Ok(ImageName::Docker {
            reference: reference.clone().with_tag(None).with_digest(None),
            unknown_digest: true,
        }),
        ImageName::Oci { path, .. } => Ok(ImageName::Oci { path: path.clone(), image: LayoutImage::Only }),
        other => Err(Error::Unsupported(format!(
            "{other}: artifacts are attached to images in a registry (docker://) or an OCI layout (oci:)"
        ))),
    }
}

/// The descriptor of what something is attached to.
async fn subject_of(
    session: &Session,
    source: &dyn Source,
    platform: Option<&Platform>,
) -> Result<Descriptor> {
    if platform.is_none()
        && let Some(head) = source.head().await?
    {
        return Ok(head);
    }
    let top = source.manifest(None).await?;
    match platform {
        None => top.descriptor(),
        Some(platform) => super::pull::child(session, source, &top, Some(platform)).await?.descriptor(),
    }
}
