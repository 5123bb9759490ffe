//! Who may do what: every handler takes an [`Access`], and only [`Gate`] makes one.
//!
//! The embedded default is open, on loopback only; identities and policy come to stand behind the
//! same gate, and no handler will know the difference.

use std::marker::PhantomData;

use berth_oci::RepoName;
use http::request::Parts;

use super::error::ApiError;

/// Something that a request may want to do with a repository.
pub trait Verb {
    /// As policies and token scopes call it.
    const NAME: &'static str;
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $verb:ident = $name:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $verb;
        impl Verb for $verb { const NAME: &'static str = $name; }
    )*};
}
verbs! {
    /// Read.
    Pull = "pull";
    /// Write.
    Push = "push";
    /// Delete.
    Delete = "delete";
}

/// Proof that the caller may do `V` with a repository.
#[derive(Clone, Debug)]
pub struct Access<V> {
    repo: RepoName,
    principal: String,
    verb: PhantomData<V>,
}

impl<V> Access<V> {
    /// The repository that access was given to.
    #[must_use]
    pub fn repo(&self) -> &RepoName {
        &self.repo
    }

    /// Who it was given to; empty for anonymous.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }
}

/// Where access is given out.
#[derive(Clone, Debug, Default)]
pub enum Gate {
    /// Everybody may do everything: loopback, or `server.insecure_open`.
    #[default]
    Open,
}

impl Gate {
    /// Gives access to `repo`, or says why not.
    ///
    /// # Errors
    /// None while the only gate is the open one.
    pub fn admit<V: Verb>(&self, _request: &Parts, repo: RepoName) -> Result<Access<V>, ApiError> {
        match self {
            Self::Open => Ok(Access { repo, principal: String::new(), verb: PhantomData }),
        }
    }

    /// Whether the caller may read another repository, to mount from it (R10: where it may not,
    /// the answer is that of an unknown blob).
    #[must_use]
    pub fn may_read(&self, _request: &Parts, _repo: &RepoName) -> bool {
        match self {
            Self::Open => true,
        }
    }

    /// Whether the caller may read whatever repository there is, so that a blob may be mounted
    /// from wherever it is (R10: otherwise a mount would tell that somebody has it).
    #[must_use]
    pub fn may_read_all(&self, _request: &Parts) -> bool {
        match self {
            Self::Open => true,
        }
    }
}
