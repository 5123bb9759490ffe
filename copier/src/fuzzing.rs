//! For the fuzz targets in `copier/fuzz`: parsers of outside bytes that no public function leads to directly. Nobody else
//! should call this; it changes with what is behind it.

use std::{fs::File, path::Path};

use crate::{Error, Result, artifact, disk::Folder};

pub use crate::remote::fuzzing::{header_field, token_answer};

/// Unpacks an artifact's folder, called `name` in the tar file, into a folder that is there.
///
/// # Errors
/// As a pull of the artifact.
pub fn unpack_folder(packed: File, name: &str, into: &Path) -> Result<()> {
    let bytes = packed.metadata().map_err(Error::file(into))?.len();
    let folder = Folder::create(into)?;
    artifact::unpack::unpack(packed, bytes, name, None, &folder)
}
