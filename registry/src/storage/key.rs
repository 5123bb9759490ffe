//! The names of objects: the only place that knows the layout of a folder or bucket.
//!
//! Every name is made of values whose alphabet is known (a [`Digest`], a [`RepoName`], an
//! [`UploadId`], numbers), so that none can leave the root or hit another's.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use berth_oci::{Algorithm, Digest, RepoName, Tag};
use uuid::Uuid;

use crate::catalog::{ObjectKey, UploadId};

/// What an object is for, which decides where it lies.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// A blob in a folder: `blobs/sha256/ab/<hash>.<upload id>`. The digest is for people and for
    /// recovery; the upload's id makes the name unique, so that of two uploads of one content
    /// either can be deleted without touching the other.
    Blob(&'a Digest, UploadId),
    /// A blob in a bucket as earlier versions named it: `blobs/<upload id>`.
    Object(UploadId),
    /// A blob in a bucket: `blobs/<upload id>.<name>`. A multipart upload starts before its digest is known; the session's
    /// id tells a purge and collection whether anybody may still go on with it.
    Multipart(UploadId, Uuid),
    /// A session's bytes in a folder: `uploads/<id>`.
    Staging(UploadId),
    /// What a session has in a bucket beside its parts, bytes too few to be a part:
    /// `uploads/<id>/tail-<name>`. Each request that leaves some gives them a name of its own, so
    /// that one that dies before it saved leaves alone what the catalog still counts on.
    Tail(UploadId, Uuid),
    /// Where a session's tails lie: `uploads/<id>`.
    Tails(UploadId),
    /// The record of a manifest, from which a lost catalog can be rebuilt:
    /// `manifests/<repository>/_sha256-<hash>`. No component of a name begins with `_`, so
    /// repositories and manifests never want the same name. A hash of sha512 is in base64url: a server
    /// that keeps an object's whole key in one file's name, encoded, has 255 bytes for it.
    Manifest(&'a RepoName, &'a Digest),
    /// The record of a tag: `tags/<repository>/_<tag>`.
    Tag(&'a RepoName, &'a Tag),
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
                format!("manifests/{repo}/_{}-{}", digest.algorithm(), hash_name(digest))
            }
            Self::Tag(repo, tag) => format!("tags/{repo}/_{tag}"),
            Self::Probe => "uploads/probe".to_owned(),
        })
    }
}

/// A digest's hash as names of records hold it.
fn hash_name(digest: &Digest) -> Cow<'_, str> {
    if digest.algorithm() == Algorithm::Sha256 {
        return Cow::Borrowed(digest.hex());
    }
    let nibble = |hex: u8| (hex as char).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    let pairs = digest.hex().as_bytes().chunks(2);
    // A digest's text is hexadecimal, or it would be none.
    let bytes: Vec<_> = pairs.filter_map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect();
    Cow::Owned(URL_SAFE_NO_PAD.encode(bytes))
}

/// The manifest whose record lies at `key`, if that is what lies there.
#[must_use]
pub fn manifest_of(key: &ObjectKey) -> Option<(RepoName, Digest)> {
    let (repo, name) = key.0.strip_prefix("manifests/")?.rsplit_once("/_")?;
    let (algorithm, hash) = name.split_once('-')?;
    let digest = match algorithm.parse().ok()? {
        Algorithm::Sha256 => format!("{algorithm}:{hash}").parse().ok()?,
        algorithm @ Algorithm::Sha512 => {
            let bytes = URL_SAFE_NO_PAD.decode(hash).ok().filter(|bytes| bytes.len() == 64)?;
            Digest::from_hash(algorithm, &bytes)
        }
    };
    Some((repo.parse().ok()?, digest))
}

impl Key<'_> {
    /// The upload that made an object under `blobs` or `uploads`, by its name. `None` for any other name:
    /// that one is not ours.
    #[must_use]
    pub fn upload_of(key: &ObjectKey) -> Option<UploadId> {
        let mut parts = components(key)?;
        let name = match (parts.next()?, parts.next()?, parts.next(), parts.next(), parts.next()) {
            ("blobs", id, None, ..) => id.split_once('.').map_or(id, |(id, _)| id),
            ("blobs", "sha256" | "sha512", Some(_), Some(file), None) => file.split_once('.')?.1,
            ("uploads", id, None, ..) => id,
            ("uploads", id, Some(tail), None, _) if tail.starts_with("tail-") => id,
            _ => return None,
        };
        name.parse().ok().map(UploadId)
    }
}

/// The digest that the name of a folder's blob holds, if that is what `key` is.
#[must_use]
pub fn blob_digest(key: &ObjectKey) -> Option<Digest> {
    let mut parts = key.0.strip_prefix("blobs/")?.split('/');
    let (algorithm, _, name) = (parts.next()?, parts.next()?, parts.next()?);
    let (hex, _) = name.split_once('.')?;
    algorithm.parse::<Algorithm>().ok()?;
    format!("{algorithm}:{hex}").parse().ok().filter(|_| parts.next().is_none())
}

/// What the keys of objects begin with that belong to another registry in the same bucket: they are
/// named from the bucket's root, wherever ours is.
const FOREIGN: char = '/';
/// Where in its tree another registry (Distribution) keeps blobs.
const FOREIGN_BLOBS: &str = "docker/registry/v2/blobs/";

/// The key of another registry's blob, by its path from the bucket's root.
#[must_use]
pub fn foreign(path: &str) -> Option<ObjectKey> {
    let key = ObjectKey(format!("{FOREIGN}{}", path.trim_start_matches('/')));
    let is_one = components(&key).is_some();
    is_one.then_some(key)
}

/// Whether an object belongs to another registry. It is read where it lies, and never deleted.
#[must_use]
pub fn is_foreign(key: &ObjectKey) -> bool {
    key.0.starts_with(FOREIGN)
}

/// Whether a path from the bucket's root is that of another registry's blob.
fn is_foreign_blob(path: &str) -> bool {
    let Some((_, rest)) = path.split_once(FOREIGN_BLOBS) else { return false };
    let parts: Vec<_> = rest.split('/').collect();
    matches!(parts[..], [algorithm, _, hex, "data"] if format!("{algorithm}:{hex}").parse::<Digest>().is_ok())
}

/// The components of a key, if it is one that [`Key`] could have made: no `..`, nothing empty,
/// nothing absolute. Keys come back from the catalog as text, and a damaged row must not become a path.
pub(super) fn components(key: &ObjectKey) -> Option<impl Iterator<Item = &str>> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let path = match key.0.strip_prefix(FOREIGN) {
        Some(path) if is_foreign_blob(path) => path,
        Some(_) => return None,
        None => &key.0,
    };
    path.split('/').all(plain).then(|| path.split('/'))
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
            (Key::Tag(&"a/b".parse().unwrap(), &"v1.0".parse().unwrap()), "tags/a/b/_v1.0".to_owned()),
        ] {
            assert_eq!(key.object().0, name);
            let is_blob = matches!(key, Key::Blob(..));
            assert_eq!(blob_digest(&key.object()), is_blob.then(|| digest.clone()), "{name}");
        }
    }

    #[test]
    fn the_record_of_a_manifest_is_found_again_and_its_name_leaves_room() {
        let repo: RepoName = "a/b_c".parse().unwrap();
        for digest in [Digest::of(Algorithm::Sha256, b"x"), Digest::of(Algorithm::Sha512, b"x")] {
            let key = Key::Manifest(&repo, &digest).object();
            let name = key.0.rsplit('/').next().unwrap();
            assert!(name.len() <= 94, "{name}");
            assert_eq!(manifest_of(&key), Some((repo.clone(), digest)));
        }
        for other in [
            "manifests/a/_x",
            "manifests/_sha256-ab",
            "manifests/a/_sha512-AAAA",
            "tags/a/_v1",
            "blobs/x",
            "",
        ] {
            assert_eq!(manifest_of(&ObjectKey(other.to_owned())), None, "{other}");
        }
    }

    #[test]
    fn an_object_tells_which_upload_made_it() {
        let digest = Digest::from_hash(Algorithm::Sha512, &[0xab; 64]);
        let id = UploadId(Uuid::from_u128(7));
        for key in [
            Key::Blob(&digest, id),
            Key::Object(id),
            Key::Multipart(id, Uuid::nil()),
            Key::Staging(id),
            Key::Tail(id, Uuid::nil()),
        ] {
            assert_eq!(Key::upload_of(&key.object()), Some(id), "{key:?}");
        }
        let manifest = Key::Manifest(&"a/b".parse().unwrap(), &digest).object().0;
        for other in [manifest.as_str(), "uploads/probe", "blobs/readme", "blobs/sha256/ab", "x", ""] {
            assert_eq!(Key::upload_of(&ObjectKey(other.to_owned())), None, "{other}");
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

    #[test]
    fn r1_another_registrys_key_is_that_of_a_blob_and_nothing_else() {
        let hex = "ab".repeat(32);
        let path = format!("team/docker/registry/v2/blobs/sha256/ab/{hex}/data");
        let key = foreign(&path).unwrap();
        assert!(is_foreign(&key));
        assert_eq!(components(&key).unwrap().collect::<Vec<_>>().join("/"), path);
        for path in [
            "secrets/x".to_owned(),
            format!("../docker/registry/v2/blobs/sha256/ab/{hex}/data"),
            format!("docker/registry/v2/blobs/sha256/ab/{hex}/link"),
            format!("docker/registry/v2/blobs/sha256/ab/{hex}/data/x"),
            "docker/registry/v2/blobs/sha256/ab/cd/data".to_owned(),
        ] {
            assert!(foreign(&path).is_none(), "{path}");
        }
    }
}
