//! Artifacts: files in a registry or a layout (image-spec, manifest.md, "Guidelines for Artifact Usage").
//!
//! Each file is a layer with its name as title; folders are tar files that say that they want to be unpacked. The
//! annotations are those of `oras`, so that what one of the two pushed the other pulls. An artifact may have a subject:
//! it is attached to that image then, and found by it ([`discover`]).

mod annotations;
mod argument;
mod attach;
mod discover;
mod document;
mod layers;
mod pack;
mod prepare;
mod pull;
mod push;
mod tar_stream;
mod title;
pub(crate) mod unpack;

pub use annotations::Annotations;
pub use argument::FileArgument;
pub use attach::{Attachment, attach};
pub use discover::{Discovered, Referrer, discover};
pub use pull::{Pull, Pulled, PulledFile, pull};
pub use push::{Artifact, Pushed, push};

/// Annotation: the file's name, with `/` between folders.
const TITLE: &str = "org.opencontainers.image.title";
/// Annotation: when the manifest was made (RFC 3339).
const CREATED: &str = "org.opencontainers.image.created";
/// Annotation of oras: `true` for a tar file that is a folder.
const UNPACK: &str = "io.deis.oras.content.unpack";
/// Annotation of oras: digest of that tar file, not compressed.
const TAR_DIGEST: &str = "io.deis.oras.content.digest";
/// Type of artifacts whose maker named none, as oras has it.
const UNKNOWN_ARTIFACT: &str = "application/vnd.unknown.artifact.v1";
/// Type of configurations whose maker named none, as oras has it.
const UNKNOWN_CONFIG: &str = "application/vnd.unknown.config.v1+json";
/// Type of files whose maker named none, as oras has it.
const FILE_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
/// Type of folders.
const FOLDER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
