//! A blob on its way into a folder.

use berth_oci::Descriptor;

use super::{Filled, Folder, OWN_ALGORITHM, Scratch, blocking, check_length, fill};
use crate::{Content, Error, Result, content::Blob};

/// Writes a blob's content to a file in `folder` that has no name of meaning yet, durably, and says what it is.
///
/// # Errors
/// The content's own; and `Error::Verify` if it has not the length that was told.
pub(crate) async fn receive(
    folder: &Folder,
    blob: &Blob,
    content: &dyn Content,
) -> Result<(Scratch, Descriptor)> {
    let own = folder.clone();
    let scratch = blocking(move || Scratch::new(&own)).await?;
    let hash = blob.known.is_none().then_some(OWN_ALGORITHM);
    let path = folder.path().to_owned();
    let Filled { file, size, digest } =
        fill(scratch.file()?, path.clone(), content.open(0).await?, hash).await?;
    let digest = match (&blob.known, digest) {
        (Some(known), _) => {
            check_length(&known.digest, known.size, size)?;
            known.digest.clone()
        }
        (None, Some(found)) => found,
        (None, None) => return Err(Error::Integrity("a blob without a digest".to_owned())),
    };
    // Durable before it has its name: what has a digest's name is whole, even after a power failure.
    blocking(move || file.sync_data().map_err(Error::file(path))).await?;
    Ok((scratch, Descriptor::new(blob.media_type.clone(), digest, size)))
}
