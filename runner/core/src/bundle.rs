//! A bundle: a folder with `config.json`, read and checked with every fault at once.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use crate::RuntimeError;

/// A bundle on disk.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its folder, absolute.
    pub folder: PathBuf,
    /// What `config.json` says.
    pub spec: Spec,
}

impl Bundle {
    /// Reads `config.json` of a folder and checks what can be checked before anything is made.
    ///
    /// # Errors
    /// [`RuntimeError::Spec`] for what is wrong in it, [`RuntimeError::Step`] where it cannot be read.
    pub fn read(folder: &Path) -> Result<Self, RuntimeError> {
        let _ = folder;
        Err(RuntimeError::Unsupported { what: "bundles".into(), why: "not built yet".into() })
    }
}
