//! Everything that can go wrong, and the one table from it to an exit code.

use std::{fmt, io, path::PathBuf, time::Duration};

use berth_oci::{Digest, ManifestError, VerifyError};

/// What every step of the copier returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any other library's error.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why something was not done. Displays as one line for people: what was tried, on what, why not, and the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the user wrote cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// An image, manifest or blob that is not there.
    #[error("{what} in {place}: {reason}")]
    NotFound {
        /// "reading manifest latest", "reading blob sha256:…".
        what: String,
        /// `host/repository`, a path.
        place: String,
        /// The server's or the system's word: "manifest unknown".
        reason: String,
    },
    /// Nobody may, or these credentials may not.
    #[error("{registry}: {reason}")]
    Authentication {
        /// Host of the registry.
        registry: String,
        /// What was refused, and what to do ("unauthorized: authentication required; log in with `berth-copier login HOST`").
        reason: String,
    },
    /// A user and password that the registry does not take. Skopeo's words.
    #[error("logging into {key:?}: invalid username/password")]
    InvalidLogin {
        /// `host[:port]` or a namespace in it.
        key: String,
    },
    /// Nobody is logged in. Skopeo's words.
    #[error("not logged into {key}")]
    NotLoggedIn {
        /// `host[:port]` or a namespace in it.
        key: String,
    },
    /// Credentials would have gone to a host that they were not given for (C1).
    #[error("refusing to send credentials to {host}: {reason}")]
    RefusingCredentials {
        /// Where they would have gone.
        host: String,
        /// Why that is refused, and how to allow it.
        reason: String,
    },
    /// Bytes are not what their descriptor says.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Something is not what it should be, in a way that no descriptor says: a pinned digest, an archive's path.
    #[error("{0}")]
    Integrity(String),
    /// Bytes that should be a manifest and are none.
    #[error("manifest {digest}: {fault}")]
    Manifest {
        /// Digest of the bytes.
        digest: Digest,
        /// The fault.
        fault: ManifestError,
    },
    /// A policy, or a rule of safety that the user can lift, says no.
    #[error("{0}")]
    Refused(String),
    /// A registry answered with an error that is none of the above.
    #[error("{what}: {}", unexpected(*.status, .detail))]
    Registry {
        /// "writing blob sha256:… to host/repository".
        what: String,
        /// HTTP status code.
        status: u16,
        /// The server's own words, escaped and cut.
        detail: String,
    },
    /// A connection that was not made, or broke.
    #[error("{what}: {source}")]
    Network {
        /// "pinging container registry host:port".
        what: String,
        /// The fault.
        source: Source,
    },
    /// A server that sends less than is waited for.
    #[error(
        "{what}: {host} sent {came} bytes in {} seconds, and {least} a second are the least that is waited for: \
         try again later, or from another registry",
        window.as_secs_f32()
    )]
    TooSlow {
        /// "reading blob sha256:…".
        what: String,
        /// `host[:port]`.
        host: String,
        /// Bytes that came.
        came: u64,
        /// So long it was waited for them.
        window: Duration,
        /// Bytes that have to come each second.
        least: u64,
    },
    /// A file or socket of this machine.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The fault.
        source: io::Error,
    },
    /// A configuration file with a fault.
    #[error("{}: {fault}", path.display())]
    Configuration {
        /// Which.
        path: PathBuf,
        /// The fault: the key, the rule, the way out.
        fault: String,
    },
    /// Content that can only be read from its beginning.
    #[error("this content can only be read from its beginning")]
    NotSeekable,
    /// What this program does not do, with the reason.
    #[error("{0}")]
    Unsupported(String),
    /// The time limit of the user ran out.
    #[error("the time limit of --command-timeout ran out")]
    Timeout,
    /// An error with what was being done.
    #[error("{doing}: {error}")]
    Context {
        /// "initializing source docker://…".
        doing: String,
        /// What went wrong.
        error: Box<Error>,
    },
    /// Any other fault.
    #[error("{what}: {source}")]
    Other {
        /// What was being done.
        what: String,
        /// The fault.
        source: Source,
    },
}

/// The server's words, where it is the request that it did not like; else the status, in the form that scripts match.
fn unexpected(status: u16, detail: &str) -> String {
    let name = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let status_line = format!("{status} {name}").trim_end().to_owned();
    match detail {
        "" => format!("received unexpected HTTP status: {status_line}"),
        _ if status >= 500 => format!("received unexpected HTTP status: {status_line}: {detail}"),
        _ => format!("{detail} (HTTP status {status_line})"),
    }
}

impl Error {
    /// A file's fault, for `map_err`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// The fault of a file or folder that somebody named as what is to be read, for `map_err`: one that is not there is
    /// not found, as an image in a registry is.
    pub fn named_file(doing: impl Into<String>, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let (what, path) = (doing.into(), path.into());
        move |source| match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound {
                what,
                place: path.display().to_string(),
                reason: "no such file or directory".to_owned(),
            },
            _ => Self::File { path, source },
        }
    }

    /// Says what was being done, unless the error says that itself already.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        let (doing, said) = (doing.to_string(), self.to_string());
        match said.strip_prefix(&doing) {
            Some(rest) if rest.starts_with(':') || rest.starts_with(" in ") => self,
            _ => Self::Context { doing, error: Box::new(self) },
        }
    }

    /// The error without what was being done.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Context { error, .. } => error.root(),
            other => other,
        }
    }

    /// Exit code of a command that ends so: 1 error, 2 source image not found or usage, 3 authentication, 4 integrity,
    /// 5 refused by policy or by a rule of safety.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.root() {
            Self::Usage(_) | Self::NotFound { .. } => 2,
            Self::Authentication { .. }
            | Self::InvalidLogin { .. }
            | Self::NotLoggedIn { .. }
            | Self::RefusingCredentials { .. } => 3,
            Self::Verify(_) | Self::Integrity(_) | Self::Manifest { .. } => 4,
            Self::Refused(_) => 5,
            Self::Registry { .. }
            | Self::Network { .. }
            | Self::TooSlow { .. }
            | Self::File { .. }
            | Self::Configuration { .. }
            | Self::NotSeekable
            | Self::Unsupported(_)
            | Self::Timeout
            | Self::Context { .. }
            | Self::Other { .. } => 1,
        }
    }
}

/// `.context(…)` on results.
pub trait ResultExt<T> {
    /// Says what was being done, where it failed.
    ///
    /// # Errors
    /// The same, with the context.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.context(doing))
    }
}
