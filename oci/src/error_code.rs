//! Error codes and the JSON envelope that carries them (distribution-spec, "Error Codes").

use std::fmt;

use serde::{Deserialize, Serialize};

/// A code of the distribution specification, or one of the few that every registry adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// code-1: the blob is not in the repository.
    BlobUnknown,
    /// code-2: the upload breaks a rule.
    BlobUploadInvalid,
    /// code-3: there is no such upload session.
    BlobUploadUnknown,
    /// code-4: the digest is malformed, or does not match the content.
    DigestInvalid,
    /// code-5: the manifest names a blob or manifest that is not there.
    ManifestBlobUnknown,
    /// code-6: the manifest breaks a rule.
    ManifestInvalid,
    /// code-7: the manifest is not in the repository.
    ManifestUnknown,
    /// code-8: the repository's name breaks the pattern.
    NameInvalid,
    /// code-9: there is no such repository.
    NameUnknown,
    /// code-10: the content's length is not the one announced.
    SizeInvalid,
    /// code-11: who are you?
    Unauthorized,
    /// code-12: you may not.
    Denied,
    /// code-13: this registry does not do that.
    Unsupported,
    /// code-14: too many requests.
    #[serde(rename = "TOOMANYREQUESTS")]
    TooManyRequests,
    /// Not of the specification: a page's size is no number.
    PaginationNumberInvalid,
    /// Not of the specification: the range cannot be served or appended.
    RangeInvalid,
    /// Not of the specification: a part of the registry cannot be reached.
    Unavailable,
    /// Not of the specification: the registry failed.
    Unknown,
}

/// One error of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// The code; a text here, since a client must read codes that it does not know.
    pub code: String,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
    /// Whatever the registry adds.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// The body of every 4xx and 5xx answer: `{"errors": […]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// At least one where a registry made it.
    pub errors: Vec<ErrorEntry>,
}

impl ErrorCode {
    /// The code as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ErrorBody {
    /// An envelope of one error.
    #[must_use]
    pub fn one(code: ErrorCode, message: impl Into<String>, detail: serde_json::Value) -> Self {
        Self { errors: vec![ErrorEntry { code: code.as_str().to_owned(), message: message.into(), detail }] }
    }
}
