//! To come.
use berth_copier::{Error, Result};
use clap::Args;

use super::Process;
use crate::cli::{ImageOptions, RetryOptions};

/// To come
#[derive(Args)]
pub(crate) struct ListTags {
    #[command(flatten)]
    image: ImageOptions,
    #[command(flatten)]
    retry: RetryOptions,
}

impl ListTags {
    pub(crate) async fn run(self, _process: &Process) -> Result<()> {
        Err(Error::Unsupported("not yet".to_owned()))
    }
}
