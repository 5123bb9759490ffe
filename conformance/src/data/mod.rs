//! What is pushed: sets of blobs and manifests as clients make them. The content is random, so
//! that no case finds what another has left.

mod artifacts;
mod builder;
mod images;
mod kind;

pub(crate) use artifacts::{TYPE_A, TYPE_B};
pub use builder::{Blob, Builder, DataSet, Manifest, digest_of, random};
pub use kind::Kind;
