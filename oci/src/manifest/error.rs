//! Why a manifest is refused. The texts go to whoever pushed it: each names the field, the rule and
//! what to do.

use crate::{DigestError, MediaType, manifest};

/// Why bytes are not a manifest that Berth takes. `path` names a field as `layers[3].digest`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than [`manifest::MAX_MANIFEST_BYTES`].
    #[error(
        "the manifest has {size} bytes and {max} is the limit; keep large data in blobs and name \
         them by descriptors",
        max = manifest::MAX_MANIFEST_BYTES
    )]
    TooLarge {
        /// Its length in bytes.
        size: usize,
    },
    /// Not UTF-8, which JSON has to be.
    #[error("the manifest is not UTF-8 from byte {at} on; JSON has to be UTF-8")]
    Encoding {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// Not JSON.
    #[error("the manifest is not JSON: {expected} expected at byte {at}")]
    Syntax {
        /// Offset of the fault in bytes.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Nested too deeply.
    #[error("JSON may be nested {max} deep; the manifest goes deeper at {path}", max = manifest::MAX_DEPTH)]
    Depth {
        /// Where.
        path: String,
    },
    /// A key that stands twice in one object, where readers disagree which value counts.
    #[error("{path} stands there twice, and readers disagree which one counts; keep one of them")]
    DuplicateKey {
        /// Which field.
        path: String,
    },
    /// A key that some readers take for another, since they ignore case.
    #[error("{path} has to be written `{proper}`: some readers ignore case and others do not")]
    KeyCase {
        /// The field as it stands there.
        path: String,
        /// The field that it would be taken for.
        proper: &'static str,
    },
    /// A value of another type than the specification gives the field.
    #[error("{path} has to be {expected}")]
    Type {
        /// Which field.
        path: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A required field is not there.
    #[error("{path} is missing; {rule}")]
    Missing {
        /// Which field.
        path: String,
        /// Why it has to be there.
        rule: &'static str,
    },
    /// Fields of an image and of an index in one document.
    #[error(
        "the manifest has both {one} and {other}, so that some readers see an image and others \
         an index; push them as two manifests"
    )]
    Ambiguous {
        /// What one kind has.
        one: &'static str,
        /// What the other has.
        other: &'static str,
    },
    /// The `mediaType` field and the push's Content-Type differ.
    #[error(
        "mediaType says {field} but the Content-Type header says {header}; push the manifest with \
         the Content-Type that stands in it"
    )]
    MediaTypeMismatch {
        /// What the manifest says.
        field: MediaType,
        /// What the header said.
        header: MediaType,
    },
    /// Neither field nor header nor shape tells the type.
    #[error(
        "nothing tells what the manifest is: give it a `mediaType` field, or push it with its type \
         as Content-Type"
    )]
    NoMediaType,
    /// A text that cannot be a media type.
    #[error("{path} is not a media type: visible ASCII characters like application/vnd.example+json")]
    MediaType {
        /// Which field.
        path: String,
    },
    /// `schemaVersion` is not 2.
    #[error("schemaVersion is {found}; an image or index of type {media_type} has to say 2")]
    SchemaVersion {
        /// What stands there.
        found: i64,
        /// Type of the manifest.
        media_type: MediaType,
    },
    /// Docker's first format, which is neither content-addressed nor supported by its own tools.
    #[error(
        "Docker image manifest version 2, schema 1 is not supported; push the image again with a \
         current docker, or convert it: skopeo copy --format v2s2 docker://SOURCE docker://TARGET"
    )]
    Schema1,
    /// A descriptor's digest is malformed, or of an algorithm that Berth cannot verify.
    #[error("{path}: {fault}")]
    Digest {
        /// Which field.
        path: String,
        /// What is wrong with it.
        #[source]
        fault: DigestError,
    },
    /// A descriptor's size is negative, no integer, or above `i64::MAX`.
    #[error("{path} has to be an integer from 0 to {max}: the content's length in bytes", max = i64::MAX)]
    Size {
        /// Which field.
        path: String,
    },
    /// A descriptor's embedded content is not what the descriptor says.
    #[error("{path} {fault}; embed the content as it is, or leave `data` out")]
    Data {
        /// Which field.
        path: String,
        /// What is wrong with it.
        fault: DataFault,
    },
    /// More descriptors than [`manifest::MAX_DESCRIPTORS`].
    #[error("{path} has more than {max} descriptors; split it by an index of indexes", max = manifest::MAX_DESCRIPTORS)]
    TooManyDescriptors {
        /// Which list, or the manifest as a whole.
        path: String,
    },
}

/// What is wrong with embedded content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataFault {
    /// Not base64 with padding (RFC 4648, section 4).
    #[error("is not base64")]
    Encoding,
    /// Longer or shorter than the descriptor's `size`.
    #[error("has another length than the descriptor's size")]
    Size,
    /// Another hash than the descriptor's `digest`.
    #[error("does not match the descriptor's digest")]
    Digest,
}
