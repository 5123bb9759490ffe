//! How large a layer is.

use std::{fs::File, io};

use berth_oci::Digest;

use super::{Store, key::RECIPE};
use crate::{
    error::{Result, RunnerError, While},
    unpack::{RecipeReader, Step},
};

impl Store {
    /// Bytes of a layer's tar, uncompressed: counted by its recipe, no file is read.
    ///
    /// # Errors
    /// [`RunnerError::NotFound`] where the layer is not here.
    pub(crate) fn layer_tar_size(&self, diff_id: &Digest) -> Result<u64> {
        let path = self.layer_folder(diff_id).join(RECIPE);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(diff_id)),
            opened => opened.doing("opening", &path)?,
        };
        count(RecipeReader::new(file).doing("reading", &path)?)
            .map_err(|error| RunnerError::Content(format!("layer {diff_id} is damaged: {error}")))
    }

    /// Bytes of a layer's files.
    ///
    /// # Errors
    /// As [`Self::layer_tar_size`].
    pub(crate) fn layer_size(&self, diff_id: &Digest) -> Result<u64> {
        Ok(self.facts(diff_id)?.ok_or_else(|| missing(diff_id))?.size)
    }
}

fn missing(diff_id: &Digest) -> RunnerError {
    RunnerError::NotFound(format!("layer {diff_id} is not here: pull its image again"))
}

fn count(mut recipe: RecipeReader<File>) -> io::Result<u64> {
    let mut size = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match recipe.step()? {
            Step::Literal(length) => {
                let mut left = length;
                while left > 0 {
                    let limit = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    match recipe.literal(&mut buffer[..limit])? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        read => left -= read as u64,
                    }
                }
                size += length;
            }
            Step::File { length, .. } | Step::Object { length, .. } => size += length,
            Step::Pieces { map, .. } => size += map.iter().map(|piece| piece.length).sum::<u64>(),
            Step::End => return Ok(size),
        }
    }
}
