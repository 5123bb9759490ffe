//! To come.
use berth_copier::{Error, Result};
use clap::Args;

use super::Process;

/// To come
#[derive(Args)]
pub(crate) struct SignatureDump {}

impl SignatureDump {
    pub(crate) fn run(self, _process: &Process) -> Result<()> {
        Err(Error::Unsupported("not yet".to_owned()))
    }
}
