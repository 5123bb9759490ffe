//! A layer on its way into the store.

use std::io;

use berth_oci::Digest;

use crate::error::{Result, RunnerError};

/// What [`super::Store::begin_layer`] found.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The layer is here.
    Present,
    /// It is not: its tar goes in here.
    New(LayerWriter),
}

/// Takes the bytes of a layer's tar in pieces of any size and unpacks them as they come. Dropped without
/// [`Self::finish`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct LayerWriter {}

impl LayerWriter {
    /// As [`io::Write::write_all`], with the error as it is.
    ///
    /// # Errors
    /// [`RunnerError::Content`] for what may not be unpacked: names layer, entry and rule.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<()> {
        let _ = bytes;
        Err(RunnerError::Unsupported("the store is not built yet".into()))
    }

    /// What was left out, a sentence each: device nodes, attributes that this file system does not keep.
    pub(crate) fn warnings(&self) -> &[String] {
        &[]
    }

    /// Compares the digest and makes the layer visible.
    ///
    /// # Errors
    /// [`RunnerError::Content`] where the digest is another, or the archive ends too soon.
    pub(crate) fn finish(self) -> Result<Digest> {
        Err(RunnerError::Unsupported("the store is not built yet".into()))
    }
}

impl io::Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error that a [`LayerWriter`] gave through [`io::Write`], out of its wrapping.
pub(crate) fn layer_error(error: io::Error, doing: &str) -> RunnerError {
    match error.downcast::<RunnerError>() {
        Ok(error) => error,
        Err(source) => RunnerError::Io { what: doing.to_owned(), source },
    }
}
