//! Whether a file is the blob that its name says.

use std::io::Read;

use berth_oci::{Descriptor, Digest, Hasher};

use super::Folder;
use crate::{Error, Result};

/// Whether a file of a folder has the length and the bytes of a blob. A length alone proves nothing: somebody may have
/// changed the file, or a disk has.
pub(crate) fn holds(folder: &Folder, name: &str, blob: &Descriptor) -> Result<bool> {
    if folder.size_of(name)? != Some(blob.size) {
        return Ok(false);
    }
    let Some(file) = folder.open_file(name)? else { return Ok(false) };
    let mut hasher = Hasher::new(blob.digest.algorithm().into());
    let mut buffer = vec![0; 512 * 1024];
    // A file that grows meanwhile is another one all the same.
    let mut rest = file.take(blob.size + 1);
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(Digest::from_hasher(hasher) == blob.digest),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(fault) if fault.kind() == std::io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(Error::file(folder.path_of(name))(fault)),
        }
    }
}
