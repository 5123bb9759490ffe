//! `experimental-image-proxy`: known, and not there.

use berth_copier::{Error, Result};
use clap::Args;

/// Serves images over a socket.
#[derive(Args)]
pub(crate) struct Proxy {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _arguments: Vec<String>,
}

impl Proxy {
    pub(crate) fn run(self) -> Result<()> {
        Err(Error::Unsupported(
            "experimental-image-proxy: the socket interface for ostree is not served here; for it, install skopeo beside this \
             program"
                .to_owned(),
        ))
    }
}
