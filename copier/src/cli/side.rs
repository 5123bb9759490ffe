//! Options of one side of a copy, with the prefixes that Skopeo gives them: `--src-`, `--dest-`, none.

use std::path::PathBuf;

use berth_copier::{Error, Result, Secret, Side};
use clap::Args;

/// What all sides share: a credentials file, unless a side has its own.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Access")]
pub(crate) struct SharedOptions {
    /// File with the registries' credentials [default: $REGISTRY_AUTH_FILE, then $XDG_RUNTIME_DIR/containers/auth.json]
    #[arg(long, value_name = "PATH")]
    pub(crate) authfile: Option<PathBuf>,
}

/// The old spelling for both sides of a copy or sync at once.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DeprecatedTls {
    #[arg(long = "tls-verify", id = "deprecated-tls-verify", hide = true)]
    pub(crate) tls_verify: Option<bool>,
}

/// Access to a registry, whatever the prefix.
#[derive(Clone, Default)]
pub(crate) struct Access {
    pub(crate) authfile: Option<PathBuf>,
    pub(crate) creds: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) registry_token: Option<String>,
    pub(crate) cert_dir: Option<PathBuf>,
    pub(crate) tls_verify: Option<bool>,
    pub(crate) no_creds: bool,
}

impl Access {
    /// The library's settings for this side.
    ///
    /// # Errors
    /// Where two flags contradict each other or a half of a pair is missing.
    pub(crate) fn side(self, shared: &SharedOptions) -> Result<Side> {
        let usage = |text: &str| Err(Error::Usage(text.to_owned()));
        if self.creds.is_some() && self.no_creds {
            return usage("creds and no-creds cannot be specified at the same time");
        }
        if self.username.is_some() && self.no_creds {
            return usage("username and no-creds cannot be specified at the same time");
        }
        if self.creds.is_some() && self.username.is_some() {
            return usage("creds and username cannot be specified at the same time");
        }
        let credentials = match (self.creds, self.username, self.password) {
            (Some(creds), _, _) => Some(split(&creds)?),
            (None, Some(username), Some(password)) => Some((username, Secret::new(password))),
            (None, Some(_), None) => return usage("password must be specified when username is specified"),
            (None, None, Some(_)) => return usage("username must be specified when password is specified"),
            (None, None, None) => None,
        };
        Ok(Side {
            authfile: self.authfile.or_else(|| shared.authfile.clone()),
            credentials,
            anonymous: self.no_creds,
            registry_token: self.registry_token.map(Secret::new),
            cert_dir: self.cert_dir.filter(|path| !path.as_os_str().is_empty()),
            tls_verify: self.tls_verify,
            ..Side::default()
        })
    }
}

/// `user[:password]`.
fn split(creds: &str) -> Result<(String, Secret)> {
    let (user, password) = creds.split_once(':').unwrap_or((creds, ""));
    if creds.is_empty() {
        return Err(Error::Usage("credentials can't be empty".to_owned()));
    }
    if user.is_empty() {
        return Err(Error::Usage("username can't be empty".to_owned()));
    }
    Ok((user.to_owned(), Secret::new(password)))
}

/// The side's own file, in those groups that have one.
fn own<const N: usize>(file: [Option<PathBuf>; N]) -> Option<PathBuf> {
    file.into_iter().flatten().next()
}

/// A group of options under one prefix. What they mean is in [`Access`]; this is their spelling.
macro_rules! access_options {
    ($name:ident, $prefix:literal, $heading:literal $(, authfile: $authfile:literal, creds alias: $alias:literal)?) => {
        /// Access to a registry.
        #[derive(Args, Clone, Default)]
        #[command(next_help_heading = $heading)]
        pub(crate) struct $name {
            $(
                /// File with the credentials for this side [default: what --authfile says]
                #[arg(id = $authfile, long = $authfile, value_name = "PATH")]
                authfile: Option<PathBuf>,
            )?

            /// Log in with this name and password
            #[arg(id = concat!($prefix, "creds"), long = concat!($prefix, "creds"), $(alias = $alias,)? value_name = "USERNAME[:PASSWORD]")]
            creds: Option<String>,

            /// Log in with this name; needs the password
            #[arg(id = concat!($prefix, "username"), long = concat!($prefix, "username"), value_name = "NAME")]
            username: Option<String>,

            /// Log in with this password; needs the name
            #[arg(id = concat!($prefix, "password"), long = concat!($prefix, "password"), value_name = "PASSWORD")]
            password: Option<String>,

            /// Send this bearer token and ask for none
            #[arg(id = concat!($prefix, "registry-token"), long = concat!($prefix, "registry-token"), value_name = "TOKEN")]
            registry_token: Option<String>,

            /// Folder with certificates (*.crt) and client certificates (*.cert with *.key)
            #[arg(id = concat!($prefix, "cert-dir"), long = concat!($prefix, "cert-dir"), value_name = "PATH")]
            cert_dir: Option<PathBuf>,

            /// Ask for HTTPS and a good certificate; =false takes any, and HTTP [default: as registries.conf says, else true]
            #[arg(id = concat!($prefix, "tls-verify"), long = concat!($prefix, "tls-verify"), value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
            tls_verify: Option<bool>,

            /// Log in as nobody
            #[arg(id = concat!($prefix, "no-creds"), long = concat!($prefix, "no-creds"))]
            no_creds: bool,
        }

        impl $name {
            /// The same without its prefix.
            pub(crate) fn access(&self, deprecated_tls: Option<bool>) -> Access {
                Access {
                    authfile: own([$({ let _flag = $authfile; self.authfile.clone() })?]),
                    creds: self.creds.clone(),
                    username: self.username.clone(),
                    password: self.password.clone(),
                    registry_token: self.registry_token.clone(),
                    cert_dir: self.cert_dir.clone(),
                    tls_verify: self.tls_verify.or(deprecated_tls),
                    no_creds: self.no_creds,
                }
            }
        }
    };
}

access_options!(AccessOptions, "", "Access");
access_options!(SourceAccessOptions, "src-", "Source", authfile: "src-authfile", creds alias: "screds");
access_options!(DestinationAccessOptions, "dest-", "Destination", authfile: "dest-authfile", creds alias: "dcreds");

/// Options of transports that are no registry.
macro_rules! local_options {
    ($name:ident, $prefix:literal, $heading:literal) => {
        /// Options of transports that are no registry.
        #[derive(Args, Clone, Debug, Default)]
        #[command(next_help_heading = $heading)]
        pub(crate) struct $name {
            /// Folder of blobs that several OCI layouts share
            #[arg(id = concat!($prefix, "shared-blob-dir"), long = concat!($prefix, "shared-blob-dir"), value_name = "DIRECTORY")]
            shared_blob_dir: Option<PathBuf>,

            /// Socket or address of the Docker engine, for docker-daemon: [default: unix:///var/run/docker.sock]
            #[arg(id = concat!($prefix, "daemon-host"), long = concat!($prefix, "daemon-host"), value_name = "HOST")]
            daemon_host: Option<String>,
        }

        impl $name {
            /// Adds them to a side.
            pub(crate) fn add_to(&self, side: &mut Side) {
                side.shared_blob_dir.clone_from(&self.shared_blob_dir);
                side.daemon_host.clone_from(&self.daemon_host);
            }
        }
    };
}

local_options!(LocalOptions, "", "Access");
local_options!(SourceLocalOptions, "src-", "Source");
local_options!(DestinationLocalOptions, "dest-", "Destination");

/// Options of the one image that a command reads: `inspect`, `delete`.
#[derive(Args, Clone, Default)]
pub(crate) struct ImageOptions {
    #[command(flatten)]
    pub(crate) shared: SharedOptions,
    #[command(flatten)]
    pub(crate) access: AccessOptions,
    #[command(flatten)]
    pub(crate) local: LocalOptions,
}

impl ImageOptions {
    /// The library's settings for this image.
    ///
    /// # Errors
    /// As [`Access::side`].
    pub(crate) fn side(&self) -> Result<Side> {
        let mut side = self.access.access(None).side(&self.shared)?;
        self.local.add_to(&mut side);
        Ok(side)
    }
}
