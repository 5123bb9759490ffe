//! How large a layer is.

use berth_oci::Digest;

use super::{Store, layer_error};
use crate::error::Result;

impl Store {
    /// Bytes of a layer's tar, uncompressed.
    ///
    /// # Errors
    /// [`crate::error::RunnerError::NotFound`] where the layer is not here.
    pub(crate) fn layer_tar_size(&self, diff_id: &Digest) -> Result<u64> {
        let mut tar = self.layer_tar(diff_id)?;
        std::io::copy(&mut tar, &mut std::io::sink())
            .map_err(|error| layer_error(error, &format!("reading layer {diff_id}")))
    }

    /// Bytes of a layer's files.
    ///
    /// # Errors
    /// As [`Self::layer_tar_size`].
    pub(crate) fn layer_size(&self, diff_id: &Digest) -> Result<u64> {
        self.layer_tar_size(diff_id)
    }
}
