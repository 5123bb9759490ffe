//! How much each namespace holds, and how much it may.
//!
//! A namespace is the first part of its repositories' names: `team` of `team/app/web`, and of
//! `team` itself. Each content (a blob or a manifest) counts once in a namespace, however many of
//! its repositories have it. The databases count by triggers, so that no path around is left.
//!
//! A push is judged in the transaction that makes it visible: never does a namespace hold more than
//! its limit, and nothing that fits is refused. Bytes that are still on their way are not reserved.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use berth_oci::{Digest, NameError, RepoName};

use super::Result;
use crate::clock::Timestamp;

/// The first part of a repository's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(String);

impl Namespace {
    /// The namespace that a repository is in.
    #[must_use]
    pub fn of(repo: &RepoName) -> Self {
        let name = repo.as_str();
        Self(name.split_once('/').map_or(name, |(first, _)| first).to_owned())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Namespace {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text names no namespace.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// It is no name at all.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It names a repository.
    #[error("a namespace is the first part of repositories' names: {0}")]
    Repository(String),
}

impl FromStr for Namespace {
    type Err = NamespaceError;

    /// `team`, or `team/`.
    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        let name: RepoName = text.strip_suffix('/').unwrap_or(text).parse()?;
        let namespace = Self::of(&name);
        if namespace.as_str() == name.as_str() {
            Ok(namespace)
        } else {
            Err(NamespaceError::Repository(namespace.0))
        }
    }
}

/// The configuration's limit of a namespace, bytes; the catalog's own goes before it.
pub type LimitOf = Arc<dyn Fn(&Namespace) -> Option<u64> + Send + Sync>;

/// What holds for every push.
#[derive(Clone)]
pub struct NamespaceRules {
    /// Bytes that a namespace may hold where the catalog says nothing.
    pub limit_of: LimitOf,
    /// Repositories that a namespace may have; 0 is no limit.
    pub max_repositories: u32,
}

impl fmt::Debug for NamespaceRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceRules")
            .field("max_repositories", &self.max_repositories)
            .finish_non_exhaustive()
    }
}

/// Why a push was not taken. Nothing of it is visible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The namespace would hold more than it may.
    #[error("namespace {namespace} holds {used} of {limit} bytes, {size} more do not fit")]
    Bytes {
        /// The namespace.
        namespace: Namespace,
        /// What it holds.
        used: u64,
        /// What it may hold.
        limit: u64,
        /// What the push would add.
        size: u64,
    },
    /// The namespace would have more repositories than it may.
    #[error("namespace {namespace} has {limit} repositories, and may have no more")]
    Repositories {
        /// The namespace.
        namespace: Namespace,
        /// How many it may have.
        limit: u32,
    },
}

/// How much a namespace holds and may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceUsage {
    /// The namespace.
    pub namespace: Namespace,
    /// Bytes of its contents, each counted once.
    pub bytes: u64,
    /// What the catalog says that it may hold.
    pub set: SetQuota,
}

/// What was set for a namespace by command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetQuota {
    /// Nothing: the configuration's limit holds.
    #[default]
    Unset,
    /// No limit, whatever the configuration says.
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

/// What one repository holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryUsage {
    /// The repository.
    pub repo: RepoName,
    /// Bytes of all its contents.
    pub bytes: u64,
    /// Bytes of those that no other repository of its namespace has: what deleting it would free.
    pub unique: u64,
}

/// A namespace counted anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recount {
    /// What its contents come to.
    pub counted: u64,
    /// What was kept; negative only where rows were changed past the registry.
    pub kept: i64,
    /// Contents whose uses were wrong.
    pub wrong: u64,
}

impl Recount {
    /// Whether what was kept is right.
    #[must_use]
    pub fn is_right(&self) -> bool {
        i64::try_from(self.counted) == Ok(self.kept) && self.wrong == 0
    }
}

/// What is free in a namespace that has a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The namespace.
    pub namespace: Namespace,
    /// What it holds.
    pub used: u64,
    /// What it may hold.
    pub limit: u64,
}

impl Room {
    /// Why `size` bytes more do not fit, if they do not.
    #[must_use]
    pub fn refuses(&self, size: u64) -> Option<Refusal> {
        let Self { namespace, used, limit } = self.clone();
        (used.saturating_add(size) > limit).then_some(Refusal::Bytes { namespace, used, limit, size })
    }
}

/// How much each namespace holds, and how much it may.
#[async_trait]
pub trait Quotas: Send + Sync {
    /// From now on pushes through this catalog keep these rules and the limits that the catalog has.
    /// Before, they keep none: whoever restores what was there once must not be stopped by a limit.
    fn govern(&self, rules: NamespaceRules);

    /// What is free in the repository's namespace: `None` where there is no limit, and for a blob
    /// that the namespace has already, which adds nothing. An estimate for those who have not sent
    /// anything yet: what counts is decided when a push becomes visible.
    async fn room(&self, repo: &RepoName, blob: Option<&Digest>) -> Result<Option<Room>>;

    /// Namespaces after `after` in byte order that hold something or have a limit set, `limit` at most.
    async fn namespaces(&self, after: Option<&str>, limit: u32) -> Result<Vec<NamespaceUsage>>;

    /// One namespace, whether or not it holds anything.
    async fn namespace(&self, namespace: &Namespace) -> Result<NamespaceUsage>;

    /// Sets what a namespace may hold. What it holds already stays, even if that is more.
    async fn set_quota(&self, namespace: &Namespace, quota: SetQuota, now: Timestamp) -> Result<()>;

    /// What the repositories of a namespace hold, by name after `after`, `limit` at most.
    async fn repository_usage(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<RepositoryUsage>>;

    /// Counts a namespace anew from its links and manifests, and with `repair` sets what is kept
    /// right. Without, nothing waits for it.
    async fn recount(&self, namespace: &Namespace, repair: bool) -> Result<Recount>;

    /// Adds lines of the ledger up, some thousands at most, and says how many. Nobody waits for it.
    async fn fold(&self) -> Result<u64>;

    /// Upload sessions that somebody has open; counts no further than `most`.
    async fn count_uploads_of(&self, principal: &str, most: u32) -> Result<u32>;

    /// Manifests in a repository; counts no further than `most`.
    async fn count_manifests(&self, repo: &RepoName, most: u32) -> Result<u32>;

    /// Tags in a repository; counts no further than `most`.
    async fn count_tags(&self, repo: &RepoName, most: u32) -> Result<u32>;
}
