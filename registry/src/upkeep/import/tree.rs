//! The storage tree of another registry: Distribution's layout, in a folder or a bucket. Only read.
//!
//! `docker/registry/v2/blobs/sha256/ab/<hash>/data` holds contents; below `repositories/<name>/`,
//! `_layers/sha256/<hash>/link` and `_manifests/revisions/sha256/<hash>/link` say what a repository
//! has, and `_manifests/tags/<tag>/current/link` what a tag points at.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    path::PathBuf,
    sync::Arc,
};

use berth_oci::{Digest, RepoName, Tag};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream::BoxStream};

use crate::{
    catalog::{BoxError, ObjectKey},
    clock::Timestamp,
    storage::{self, BlobStore, Listed, StorageError, foreign, list_tree, read_whole},
    upkeep::UpkeepError,
};

const REPOSITORIES: &str = "docker/registry/v2/repositories";
const BLOBS: &str = "docker/registry/v2/blobs";

/// Where the tree is.
#[derive(Clone, Debug)]
pub enum Tree {
    /// In a folder of this machine, the other registry's `rootdirectory`.
    Folder(PathBuf),
    /// In the bucket that storage is in, below a root of its own.
    Bucket(Arc<dyn BlobStore>, String),
}

/// What a repository has.
#[derive(Clone, Debug, Default)]
pub(super) struct Repository {
    /// Blobs.
    pub(super) layers: BTreeSet<Digest>,
    /// Manifests, and when they were pushed first.
    pub(super) revisions: BTreeMap<Digest, Timestamp>,
    /// Tags, and when they were set.
    pub(super) tags: BTreeMap<Tag, Timestamp>,
}

/// One link of a repository.
#[derive(Debug, PartialEq, Eq)]
enum Link {
    Layer(Digest),
    Revision(Digest),
    Tag(Tag),
}

/// Reads a path below `repositories/`. `None` for whatever says nothing that is of use.
fn parse(path: &str) -> Option<(RepoName, Link)> {
    let (repo, rest) = path.split_once("/_")?;
    let parts: Vec<_> = rest.split('/').collect();
    let digest = |algorithm: &str, hex: &str| format!("{algorithm}:{hex}").parse().ok();
    let link = match parts[..] {
        ["layers", algorithm, hex, "link"] => Link::Layer(digest(algorithm, hex)?),
        ["manifests", "revisions", algorithm, hex, "link"] => Link::Revision(digest(algorithm, hex)?),
        ["manifests", "tags", tag, "current", "link"] => Link::Tag(tag.parse().ok()?),
        _ => return None,
    };
    Some((repo.parse().ok()?, link))
}

impl Tree {
    /// The path of a blob's bytes, from the tree's root.
    fn blob_path(digest: &Digest) -> String {
        let hex = digest.hex();
        format!("{BLOBS}/{}/{}/{hex}/data", digest.algorithm(), &hex[..2])
    }

    fn source(path: &str, error: impl Into<BoxError>) -> UpkeepError {
        UpkeepError::Source(path.to_owned(), error.into())
    }

    fn list(&self, below: &str) -> BoxStream<'static, storage::Result<Listed>> {
        match self {
            Self::Folder(root) => list_tree(root.clone(), below),
            Self::Bucket(store, _) => store.list(below),
        }
    }

    /// Everything that the tree says of its repositories.
    pub(super) async fn repositories(&self) -> Result<BTreeMap<RepoName, Repository>, UpkeepError> {
        let mut found: BTreeMap<RepoName, Repository> = BTreeMap::new();
        let mut listed = self.list(REPOSITORIES);
        while let Some(file) = listed.try_next().await.map_err(|error| Self::source(REPOSITORIES, error))? {
            let path = file.key.0.strip_prefix(REPOSITORIES).map(|path| path.trim_start_matches('/'));
            let Some((repo, link)) = path.and_then(parse) else { continue };
            let repository = found.entry(repo).or_default();
            match link {
                Link::Layer(digest) => drop(repository.layers.insert(digest)),
                Link::Revision(digest) => drop(repository.revisions.insert(digest, file.modified)),
                Link::Tag(tag) => drop(repository.tags.insert(tag, file.modified)),
            }
        }
        Ok(found)
    }

    async fn read(&self, path: &str, max: u64) -> Result<Option<Bytes>, UpkeepError> {
        let read = match self {
            Self::Bucket(store, _) => read_whole(&**store, &ObjectKey(path.to_owned()), max).await,
            Self::Folder(root) => {
                let file = root.join(path);
                let read = tokio::task::spawn_blocking(move || match file.metadata() {
                    Ok(found) if found.len() > max => {
                        Err(StorageError::Corrupt(format!("more than {max} bytes")))
                    }
                    _ => match std::fs::read(&file) {
                        Ok(bytes) => Ok(Some(bytes.into())),
                        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                        Err(error) => Err(StorageError::Unavailable(error.into())),
                    },
                });
                read.await.map_err(|error| Self::source(path, error))?
            }
        };
        read.map_err(|error| Self::source(path, error))
    }

    /// What a tag points at; `None` when it was deleted since, or its link is none.
    pub(super) async fn tag(&self, repo: &RepoName, tag: &Tag) -> Result<Option<Digest>, UpkeepError> {
        let path = format!("{REPOSITORIES}/{repo}/_manifests/tags/{tag}/current/link");
        let text = self.read(&path, 1024).await?;
        Ok(text.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok()))
    }

    /// A manifest's bytes.
    pub(super) async fn manifest(&self, digest: &Digest) -> Result<Option<Bytes>, UpkeepError> {
        // A larger one is no manifest of ours; so much is read to say why.
        self.read(&Self::blob_path(digest), 16 << 20).await
    }

    /// The bytes that a blob has; `None` when its content was collected.
    pub(super) async fn size(&self, digest: &Digest) -> Result<Option<u64>, UpkeepError> {
        let path = Self::blob_path(digest);
        match self {
            Self::Bucket(store, _) => {
                store.size(&ObjectKey(path.clone())).await.map_err(|error| Self::source(&path, error))
            }
            Self::Folder(root) => match tokio::fs::metadata(root.join(&path)).await {
                Ok(found) => Ok(Some(found.len())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Self::source(&path, error)),
            },
        }
    }

    /// The file that holds a blob, in a folder.
    pub(super) fn file(&self, digest: &Digest) -> Option<PathBuf> {
        match self {
            Self::Folder(root) => Some(root.join(Self::blob_path(digest))),
            Self::Bucket(..) => None,
        }
    }

    /// The key by which the object that holds a blob can be served where it is, in a bucket.
    pub(super) fn key(&self, digest: &Digest) -> Option<ObjectKey> {
        match self {
            Self::Folder(_) => None,
            Self::Bucket(_, root) => {
                foreign(&format!("{}/{}", root.trim_matches('/'), Self::blob_path(digest)))
            }
        }
    }

    /// Reads a blob where it is.
    pub(super) fn opened(&self) -> Option<&Arc<dyn BlobStore>> {
        match self {
            Self::Folder(_) => None,
            Self::Bucket(store, _) => Some(store),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_say_what_a_repository_has() {
        let hex = "ab".repeat(32);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        for (path, link) in [
            (format!("a/b/_layers/sha256/{hex}/link"), Some(Link::Layer(digest.clone()))),
            (format!("a/b/_manifests/revisions/sha256/{hex}/link"), Some(Link::Revision(digest))),
            ("a/b/_manifests/tags/v1/current/link".to_owned(), Some(Link::Tag("v1".parse().unwrap()))),
            (format!("a/b/_manifests/tags/v1/index/sha256/{hex}/link"), None),
            ("a/b/_uploads/5/data".to_owned(), None),
            ("a/b/_layers/sha256/zz/link".to_owned(), None),
            ("A/_manifests/tags/v1/current/link".to_owned(), None),
            ("link".to_owned(), None),
        ] {
            let expected = link.map(|link| ("a/b".parse().unwrap(), link));
            assert_eq!(parse(&path), expected, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_gives_a_name_that_leads_out(path in "(/|_|\\.|a|layers|manifests|revisions|tags|current|link|/_|sha256|[0-9a-f]{64}|%2e|\\PC){0,16}") {
            if let Some((repo, _)) = parse(&path) {
                proptest::prop_assert!(repo.as_str().split('/').all(|part| !part.is_empty() && part != ".."));
                proptest::prop_assert!(path.starts_with(repo.as_str()));
            }
        }
    }
}
