//! `login`: proves a password to a registry and keeps it.

use std::{
    io::{self, BufRead, Write},
    path::PathBuf,
};

use async_trait::async_trait;
use berth_copier::{
    Error, Result, Secret, Side,
    config::login::{self, LoginCheck, LoginRequest, Terminal},
    remote,
};
use clap::Args;

use super::Process;
use crate::{cli::RetryOptions, output::Output};

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
        let mut person = Person { output: process.output.clone() };
        login::login(&Registries(session.remote()), session.settings(), &request, &mut person).await
    }
}

/// The registries prove what they are told.
pub(super) struct Registries<'a>(pub(super) &'a remote::Client);

#[async_trait]
impl LoginCheck for Registries<'_> {
    async fn check_login(&self, host: &str, user: &str, password: &Secret, side: &Side) -> Result<()> {
        self.0.check_login(host, user, password, side).await
    }
}

/// Whoever sits at the terminal.
pub(super) struct Person {
    pub(super) output: Output,
}

impl Terminal for Person {
    fn tell(&mut self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush())
    }

    fn user(&mut self, known: Option<&str>) -> Result<String> {
        let prompt = known.map_or_else(|| "Username: ".to_owned(), |known| format!("Username ({known}): "));
        self.output.raw(prompt.as_bytes())?;
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line).map_err(Error::file("standard input"))?;
        if read == 0 {
            return Err(Error::Usage("nobody answers; give --username and --password-stdin".to_owned()));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn password(&mut self) -> Result<Secret> {
        rpassword::prompt_password("Password: ").map(Secret::new).map_err(|source| Error::Other {
            what: "reading the password from the terminal (without one, use --password-stdin)".to_owned(),
            source: source.into(),
        })
    }
}
