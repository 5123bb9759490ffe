//! What a record looks like: one line with a digest and the JSON that it is of, and behind it, for a
//! manifest, its bytes as they were pushed.

use berth_oci::{Algorithm, Digest, MediaType, RepoName, Tag};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    catalog::{BlobRow, CatalogError, ManifestRecord, ObjectKey, Record, TagRecord},
    clock::Timestamp,
};

#[derive(Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Head {
    Manifest {
        repository: RepoName,
        digest: Digest,
        media_type: String,
        /// Microseconds since 1970.
        pushed_at: i64,
        blobs: Vec<Blob>,
    },
    Tag {
        repository: RepoName,
        tag: Tag,
        digest: Digest,
        updated_at: i64,
    },
}

#[derive(Serialize, Deserialize)]
struct Blob {
    digest: Digest,
    size: u64,
    key: String,
}

/// Why something is no record.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its first line is not what a record begins with.
    #[error("it does not begin as a record does")]
    Line,
    /// What its first line says has been damaged.
    #[error("its first line is not the one that was written")]
    Damaged,
    /// Its first line was written by something else.
    #[error("its first line says something else than a record does: {0}")]
    Head(#[source] serde_json::Error),
    /// The manifest in it is another.
    #[error("it holds a manifest that is {actual}, not {expected}")]
    Digest {
        /// What its first line says.
        expected: Digest,
        /// What the bytes are.
        actual: Digest,
    },
}

/// The bytes of a record.
pub(super) fn write(record: &Record) -> Result<Bytes, CatalogError> {
    let (head, body) = match record {
        Record::Manifest(manifest) => {
            let blob =
                |row: &BlobRow| Blob { digest: row.digest.clone(), size: row.size, key: row.key.0.clone() };
            let head = Head::Manifest {
                repository: manifest.repo.clone(),
                digest: manifest.digest.clone(),
                media_type: manifest.media_type.as_str().to_owned(),
                pushed_at: manifest.pushed_at.0,
                blobs: manifest.blobs.iter().map(blob).collect(),
            };
            (head, manifest.body.clone())
        }
        Record::Tag(tag) => {
            let head = Head::Tag {
                repository: tag.repo.clone(),
                tag: tag.tag.clone(),
                digest: tag.digest.clone(),
                updated_at: tag.updated_at.0,
            };
            (head, Bytes::new())
        }
    };
    let head = serde_json::to_string(&head).map_err(|error| CatalogError::Corrupt(error.into()))?;
    let digest = Digest::of(Algorithm::Sha256, head.as_bytes());
    Ok([digest.as_str().as_bytes(), b" ", head.as_bytes(), b"\n", &body[..]].concat().into())
}

/// Reads a record and verifies the manifest in it.
///
/// # Errors
/// [`Unreadable`]: it was never one, or has been damaged.
pub fn read(bytes: &Bytes) -> Result<Record, Unreadable> {
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or(Unreadable::Line)?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| Unreadable::Damaged)?;
    let (digest, head) = line.split_once(' ').ok_or(Unreadable::Line)?;
    let digest: Digest = digest.parse().map_err(|_| Unreadable::Line)?;
    if Digest::of(digest.algorithm(), head.as_bytes()) != digest {
        return Err(Unreadable::Damaged);
    }
    match serde_json::from_str(head).map_err(Unreadable::Head)? {
        Head::Manifest { repository, digest, media_type, pushed_at, blobs } => {
            let body = bytes.slice(end + 1..);
            let actual = Digest::of(digest.algorithm(), &body);
            if actual != digest {
                return Err(Unreadable::Digest { expected: digest, actual });
            }
            let row = |blob: Blob| BlobRow { digest: blob.digest, size: blob.size, key: ObjectKey(blob.key) };
            Ok(Record::Manifest(ManifestRecord {
                repo: repository,
                digest,
                media_type: MediaType::new(&media_type),
                pushed_at: Timestamp(pushed_at),
                blobs: blobs.into_iter().map(row).collect(),
                body,
            }))
        }
        Head::Tag { repository, tag, digest, updated_at } => {
            Ok(Record::Tag(TagRecord { repo: repository, tag, digest, updated_at: Timestamp(updated_at) }))
        }
    }
}
