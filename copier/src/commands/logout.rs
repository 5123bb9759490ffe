//! `logout`: forgets what a login kept.

use std::path::PathBuf;

use berth_copier::{
    Result, Side,
    config::login::{self, LogoutRequest},
};
use clap::Args;

use super::Process;
use crate::cli::RetryOptions;

/// Log out of a registry
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Logout {
    /// The registry, as it was given to login
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,

    /// Forget the credentials for all registries
    #[arg(long, short)]
    all: bool,

    /// Forget what this file keeps [default: $REGISTRY_AUTH_FILE, then $XDG_RUNTIME_DIR/containers/auth.json]
    #[arg(long, value_name = "PATH")]
    authfile: Option<PathBuf>,

    /// Forget what this file in Docker's form keeps
    #[arg(long, value_name = "PATH")]
    compat_auth_file: Option<PathBuf>,

    /// Ask for HTTPS and a good certificate; =false takes any, and HTTP [default: as registries.conf says, else true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    tls_verify: Option<bool>,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier logout registry.example.org
  berth-copier logout --all";

impl Logout {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let request = LogoutRequest {
            registry: self.registry,
            all: self.all,
            compat_auth_file: self.compat_auth_file,
            side: Side { authfile: self.authfile, tls_verify: self.tls_verify, ..Side::default() },
        };
        let session = process.session(&RetryOptions::default())?;
        login::logout(session.remote(), session.settings(), &request, &mut login::Console).await
    }
}
