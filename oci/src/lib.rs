//! The vocabulary of OCI images and registries.
//!
//! Everything here is pure: no network, no files, no runtime. Outside bytes are parsed once, at
//! the edge, into the types of this crate; what is behind the edge never checks them again.

pub mod digest;
pub mod error_code;
pub mod media_type;
pub mod name;

pub use digest::{Algorithm, Digest, DigestError};
pub use error_code::{ErrorBody, ErrorCode, ErrorEntry};
pub use media_type::MediaType;
pub use name::{ManifestReference, NameError, RepoName, Tag, TagError};
