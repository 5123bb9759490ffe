//! The vocabulary of OCI images and registries.
//!
//! Everything here is pure: no network, no files, no runtime. Outside bytes are parsed once, at
//! the edge, into the types of this crate; what is behind the edge never checks them again.

pub mod auth;
pub mod descriptor;
pub mod digest;
pub mod error_code;
mod hashing;
pub mod image_config;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod platform;
pub mod reference;
pub mod verify;

pub use auth::{Challenge, Scope, Scopes};
pub use berth_hash::{Hasher, RestoreError};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError};
pub use error_code::{ErrorBody, ErrorCode, ErrorEntry};
pub use manifest::{Manifest, ManifestError};
pub use media_type::MediaType;
pub use name::{ManifestReference, NameError, ReferenceError, RepoName, Tag, TagError};
pub use platform::{Platform, PlatformError};
pub use reference::{ImageReferenceError, Reference};
pub use verify::{Verifier, VerifyError};
