//! `login`: proves a password to a registry and keeps it.

use std::{io, path::PathBuf};

use berth_copier::{
    Error, Result, Secret, Side,
    config::login::{self, LoginRequest},
};
use clap::Args;

use super::Process;
use crate::cli::RetryOptions;

/// Log in to a registry
///
/// The name and password are proven to the registry and then kept in the credentials file, or by the credential helper that is
/// configured for the registry.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Login {
    /// The registry; a namespace or repository behind it keeps the credentials for that alone
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,

    /// The name; without it you are asked
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,

    /// The password; without it you are asked. Others see it in the list of processes: --password-stdin is better
    #[arg(long, short, value_name = "PASSWORD")]
    password: Option<String>,

    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,

    /// Print who is logged in, and do nothing
    #[arg(long)]
    get_login: bool,

    /// Tell where the credentials are kept
    #[arg(long, short)]
    verbose: bool,

    /// Keep the credentials in this file [default: $REGISTRY_AUTH_FILE, then $XDG_RUNTIME_DIR/containers/auth.json]
    #[arg(long, value_name = "PATH")]
    authfile: Option<PathBuf>,

    /// Keep the credentials in this file in Docker's form
    #[arg(long, value_name = "PATH")]
    compat_auth_file: Option<PathBuf>,

    /// Folder with certificates (*.crt) and client certificates (*.cert with *.key)
    #[arg(long, value_name = "PATH")]
    cert_dir: Option<PathBuf>,

    /// Ask for HTTPS and a good certificate; =false takes any, and HTTP [default: as registries.conf says, else true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    tls_verify: Option<bool>,
}

const EXAMPLES: &str = "\
Examples:
  berth-copier login registry.example.org
  pass show registry | berth-copier login -u me --password-stdin registry.example.org
  berth-copier login --get-login registry.example.org";

impl Login {
    pub(crate) async fn run(self, process: &Process) -> Result<()> {
        let usage = |text: &str| Err(Error::Usage(text.to_owned()));
        let Some(registry) = self.registry else {
            return usage("please provide a registry to login to");
        };
        if self.password_stdin && self.password.is_some() {
            return usage("can't specify both --password-stdin and --password");
        }
        if self.password_stdin && self.username.as_deref().unwrap_or_default().is_empty() {
            return usage("must provide --username with --password-stdin");
        }
        let password = match self.password {
            Some(password) => Some(Secret::new(password)),
            None if self.password_stdin => Some(login::read_password(io::stdin().lock())?),
            None => None,
        };
        let request = LoginRequest {
            registry,
            user: self.username,
            password,
            compat_auth_file: self.compat_auth_file,
            get_login: self.get_login,
            verbose: self.verbose,
            side: Side {
                authfile: self.authfile,
                cert_dir: self.cert_dir,
                tls_verify: self.tls_verify,
                ..Side::default()
            },
        };
        let session = process.session(&RetryOptions::default())?;
        login::login(session.remote(), session.settings(), &request, &mut login::Console).await
    }
}
