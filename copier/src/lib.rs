//! The copier as a library: what the command line, the registry's pull-through and the runner's pull stand on.
//!
//! An [`ImageName`] says where an image is. A [`Session`] opens it as a [`Source`] or a [`Sink`]; the engine in
//! [`copy`] moves what is between them. One session per process: it holds the connections, the tokens, and what is
//! known of blobs.

mod archive;
pub mod artifact;
pub mod compression;
pub mod config;
pub mod content;
pub mod copy;
mod daemon;
mod dir;
mod disk;
pub mod encryption;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod inspect;
mod layout;
mod manifest_digest;
pub mod name;
pub mod policy;
pub mod progress;
pub mod remote;
pub mod secret;
pub mod session;
pub mod signature;
pub mod sink;
pub mod source;
pub mod sync;

pub use content::{ByteStream, Content};
pub use error::{Error, Result};
pub use manifest_digest::{ManifestDigestError, manifest_digest};
pub use name::ImageName;
pub use progress::{Event, Progress};
pub use secret::Secret;
pub use session::{Session, Settings, Side};
pub use sink::{Reuse, Role, Sink, SinkTraits, UploadHandle};
pub use source::{RawManifest, Source};
