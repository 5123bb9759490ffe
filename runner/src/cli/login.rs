//! `login` and `logout`.

use std::{io, path::PathBuf};

use berth_copier::{
    Secret, Session, Side,
    config::login::{self, Console, LoginRequest, LogoutRequest},
};
use clap::Args;

use super::Globals;
use crate::{
    error::{Result, RunnerError},
    image::{Access, block_on},
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The registry; a namespace or repository behind it keeps the credentials for that alone
    #[arg(value_name = "REGISTRY")]
    registry: String,

    /// The name; without it you are asked
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,

    /// The password; others see it in the list of processes: --password-stdin is better
    #[arg(long, short, value_name = "PASSWORD")]
    password: Option<String>,

    /// Read the password from standard input
    #[arg(long, conflicts_with = "password", requires = "username")]
    password_stdin: bool,

    /// Print who is logged in, and do nothing
    #[arg(long)]
    get_login: bool,

    /// Tell where the credentials are kept
    #[arg(long, short)]
    verbose: bool,

    #[command(flatten)]
    file: FileOptions,

    /// Folder with certificates (*.crt) and client certificates (*.cert with *.key)
    #[arg(long, value_name = "PATH")]
    cert_dir: Option<PathBuf>,
}

/// Where credentials are kept.
#[derive(Args, Clone, Debug)]
struct FileOptions {
    /// Keep the credentials in this file [default: $REGISTRY_AUTH_FILE, then $XDG_RUNTIME_DIR/containers/auth.json]
    #[arg(long, value_name = "PATH")]
    authfile: Option<PathBuf>,

    /// Keep the credentials in this file in Docker's form
    #[arg(long, value_name = "PATH")]
    compat_auth_file: Option<PathBuf>,

    /// Ask for HTTPS and a good certificate; =false takes any, and HTTP [default: as registries.conf says, else true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    tls_verify: Option<bool>,
}

/// Arguments of `logout`.
#[derive(Args, Debug)]
pub(crate) struct Logout {
    /// The registry, as it was given to login
    #[arg(value_name = "REGISTRY", required_unless_present = "all")]
    registry: Option<String>,

    /// Forget the credentials for all registries
    #[arg(long, short)]
    all: bool,

    #[command(flatten)]
    file: FileOptions,
}

pub(super) fn run(_globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let password = match &arguments.password {
        Some(password) => Some(Secret::new(password.clone())),
        None if arguments.password_stdin => Some(login::read_password(io::stdin().lock()).map_err(usage)?),
        None => None,
    };
    let request = LoginRequest {
        registry: arguments.registry.clone(),
        user: arguments.username.clone(),
        password,
        compat_auth_file: arguments.file.compat_auth_file.clone(),
        get_login: arguments.get_login,
        verbose: arguments.verbose,
        side: Side {
            authfile: arguments.file.authfile.clone(),
            cert_dir: arguments.cert_dir.clone(),
            tls_verify: arguments.file.tls_verify,
            ..Side::default()
        },
    };
    let session = Session::new(Access::default().settings(None, true))?;
    block_on(async {
        let done = login::login(session.remote(), session.settings(), &request, &mut Console).await;
        done.map_err(usage)
    })?;
    Ok(0)
}

pub(super) fn logout(_globals: &Globals, arguments: &Logout) -> Result<u8> {
    let request = LogoutRequest {
        registry: arguments.registry.clone(),
        all: arguments.all,
        compat_auth_file: arguments.file.compat_auth_file.clone(),
        side: Side {
            authfile: arguments.file.authfile.clone(),
            tls_verify: arguments.file.tls_verify,
            ..Side::default()
        },
    };
    let session = Session::new(Access::default().settings(None, true))?;
    block_on(async {
        let done = login::logout(session.remote(), session.settings(), &request, &mut Console).await;
        done.map_err(usage)
    })?;
    Ok(0)
}

fn usage(error: berth_copier::Error) -> RunnerError {
    match error {
        berth_copier::Error::Usage(text) => RunnerError::Usage(text),
        other => RunnerError::Copier(other),
    }
}
