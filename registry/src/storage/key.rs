//! The names of objects: the only place that knows the layout of a folder or bucket.
//!
//! Every name is made of values whose alphabet is known (a [`Digest`], a [`RepoName`], an
//! [`UploadId`], numbers), so that none can leave the root or hit another's.

use berth_oci::{Digest, RepoName};
use uuid::Uuid;

use crate::catalog::{ObjectKey, UploadId};

/// What an object is for, which decides where it lies.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// A blob in a folder: `blobs/sha256/ab/<hash>.<upload id>`. The digest is for people and for
    /// recovery; the upload's id makes the name unique, so that of two uploads of one content
    /// either can be deleted without touching the other.
    Blob(&'a Digest, UploadId),
    /// A small blob in a bucket: `blobs/<a new id>`.
    Object(UploadId),
    /// A blob in a bucket that came in parts: `blobs/<upload id>.<name>`. A multipart upload starts before its digest is
    /// known; the session's id tells a purge whether anybody may still go on with it.
    Multipart(UploadId, Uuid),
    /// A session's bytes in a folder: `uploads/<id>`.
    Staging(UploadId),
    /// What a session has in a bucket beside its parts, bytes too few to be a part:
    /// `uploads/<id>/tail-<name>`. Each request that leaves some gives them a name of its own, so
    /// that one that dies before it saved leaves alone what the catalog still counts on.
    Tail(UploadId, Uuid),
    /// Where a session's tails lie: `uploads/<id>`.
    Tails(UploadId),
    /// A copy of a manifest from which a lost catalog can be rebuilt:
    /// `manifests/<repository>/_sha256-<hash>`. No component of a name begins with `_`, so
    /// repositories and manifests never want the same name.
    Manifest(&'a RepoName, &'a Digest),
    /// Where a readiness probe writes.
    Probe,
}

/// The session whose bytes lie at `key`, staged or in a multipart upload; `None` for what no session has.
#[must_use]
pub fn session_of(key: &ObjectKey) -> Option<UploadId> {
    let name = key.0.strip_prefix("uploads/").or_else(|| key.0.strip_prefix("blobs/"))?;
    let name = name.split(['/', '.']).next()?;
    Uuid::try_parse(name).ok().map(UploadId)
}

impl Key<'_> {
    /// The name, relative to the root.
    #[must_use]
    pub fn object(&self) -> ObjectKey {
        ObjectKey(match self {
            Self::Blob(digest, id) => {
                let (algorithm, hex) = (digest.algorithm(), digest.hex());
                format!("blobs/{algorithm}/{}/{hex}.{}", &hex[..2], id.0.simple())
            }
            Self::Object(id) => format!("blobs/{id}"),
            Self::Multipart(id, name) => format!("blobs/{id}.{}", name.simple()),
            Self::Staging(id) | Self::Tails(id) => format!("uploads/{id}"),
            Self::Tail(id, name) => format!("uploads/{id}/tail-{name}"),
            Self::Manifest(repo, digest) => {
                format!("manifests/{repo}/_{}-{}", digest.algorithm(), digest.hex())
            }
            Self::Probe => "uploads/probe".to_owned(),
        })
    }
}

/// The components of a key, if it is one that [`Key`] could have made: no `..`, nothing empty,
/// nothing absolute. Keys come back from the catalog as text, and a damaged row must not become a path.
pub(super) fn components(key: &ObjectKey) -> Option<impl Iterator<Item = &str>> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    key.0.split('/').all(plain).then(|| key.0.split('/'))
}

#[cfg(test)]
mod tests {
    use berth_oci::Algorithm;

    use super::*;

    #[test]
    fn keys_lie_where_the_layout_says() {
        let digest = Digest::from_hash(Algorithm::Sha256, &[0xab; 32]);
        let id = UploadId(Uuid::from_u128(7));
        let hex = "ab".repeat(32);
        for (key, name) in [
            (Key::Blob(&digest, id), format!("blobs/sha256/ab/{hex}.00000000000000000000000000000007")),
            (Key::Object(id), "blobs/00000000-0000-0000-0000-000000000007".to_owned()),
            (
                Key::Multipart(id, Uuid::nil()),
                "blobs/00000000-0000-0000-0000-000000000007.00000000000000000000000000000000".to_owned(),
            ),
            (Key::Staging(id), "uploads/00000000-0000-0000-0000-000000000007".to_owned()),
            (
                Key::Tail(id, Uuid::nil()),
                "uploads/00000000-0000-0000-0000-000000000007/tail-00000000-0000-0000-0000-000000000000"
                    .to_owned(),
            ),
            (Key::Manifest(&"a/b".parse().unwrap(), &digest), format!("manifests/a/b/_sha256-{hex}")),
        ] {
            assert_eq!(key.object().0, name);
        }
    }

    #[test]
    fn a_session_is_known_by_its_keys() {
        let id = UploadId(Uuid::from_u128(7));
        for key in [Key::Staging(id), Key::Tail(id, Uuid::nil()), Key::Multipart(id, Uuid::nil())] {
            assert_eq!(session_of(&key.object()), Some(id));
        }
        let digest = Digest::from_hash(Algorithm::Sha256, &[0xab; 32]);
        for key in [Key::Probe, Key::Blob(&digest, id)] {
            assert_eq!(session_of(&key.object()), None);
        }
    }

    #[test]
    fn r1_a_key_that_leaves_the_root_is_none() {
        for key in ["", "/etc/passwd", "blobs/../../x", "blobs//x", "./x", "blobs/.", "a\0b"] {
            assert!(components(&ObjectKey(key.to_owned())).is_none(), "{key:?}");
        }
        assert!(components(&Key::Probe.object()).is_some());
    }
}
