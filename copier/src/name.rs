//! Where an image is, in the grammar that Skopeo's users write: `transport:rest`.

mod parse;
#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, str::FromStr};

use berth_oci::{Digest, Reference};

use crate::Error;

/// The place of one image (or of a whole repository, for commands that take one).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageName {
    /// `docker://host/name[:tag|@digest]`: a registry. Without tag and digest `latest` is meant, unless the name ended
    /// in `@@unknown-digest@@` (a destination that is written by digest alone).
    Docker {
        /// The reference; `or_latest` was applied unless `unknown_digest`.
        reference: Reference,
        /// Whether the manifest is put by its digest, which nobody knows yet.
        unknown_digest: bool,
    },
    /// `dir:path`: manifest.json, version and a file per blob.
    Dir(PathBuf),
    /// `oci:path[:name|@index]`: an OCI image layout.
    Oci {
        /// The layout's folder.
        path: PathBuf,
        /// Which image.
        image: LayoutImage,
    },
    /// `oci-archive:path[:name|@index]`: a layout in a tar file; `-` is standard input or output.
    OciArchive {
        /// The file.
        path: PathBuf,
        /// Which image.
        image: LayoutImage,
    },
    /// `docker-archive:path[:name:tag|@index]`: what `docker save` writes; `-` is standard input or output.
    DockerArchive {
        /// The file.
        path: PathBuf,
        /// Which image.
        image: ArchiveImage,
    },
    /// `docker-daemon:name:tag` or `docker-daemon:algo:digest`: an engine's own images, through its socket.
    DockerDaemon(DaemonImage),
}

/// Which image of a layout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LayoutImage {
    /// The only one.
    Only,
    /// The one whose annotation `org.opencontainers.image.ref.name` is this.
    Named(String),
    /// The one at this place of index.json, from 0.
    At(usize),
}

/// Which image of a docker-archive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ArchiveImage {
    /// The only one.
    Only,
    /// The one with this name and tag.
    Named(Reference),
    /// The one at this place of manifest.json, from 0.
    At(usize),
}

/// Which image of an engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DaemonImage {
    /// By name and tag.
    Named(Reference),
    /// By id: the digest of its configuration.
    Id(Digest),
}

impl ImageName {
    /// The transport's name: what stands before the first colon.
    #[must_use]
    pub const fn transport(&self) -> &'static str {
        match self {
            Self::Docker { .. } => "docker",
            Self::Dir(_) => "dir",
            Self::Oci { .. } => "oci",
            Self::OciArchive { .. } => "oci-archive",
            Self::DockerArchive { .. } => "docker-archive",
            Self::DockerDaemon(_) => "docker-daemon",
        }
    }

    /// The docker reference that it names, where it names one.
    #[must_use]
    pub const fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Docker { reference, .. } => Some(reference),
            Self::DockerArchive { image: ArchiveImage::Named(reference), .. }
            | Self::DockerDaemon(DaemonImage::Named(reference)) => Some(reference),
            _ => None,
        }
    }
}

impl FromStr for ImageName {
    type Err = Error;

    /// # Errors
    /// `Error::Usage` for what has no transport or a malformed rest, `Error::Unsupported` for transports that exist
    /// elsewhere and not here.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse::name(text)
    }
}

impl fmt::Display for ImageName {
    /// As it could be written again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.transport())?;
        match self {
            Self::Docker { reference, unknown_digest } => {
                write!(
                    f,
                    "//{}{}",
                    reference.familiar(),
                    if *unknown_digest { "@@unknown-digest@@" } else { "" }
                )
            }
            Self::Dir(path) => write!(f, "{}", path.display()),
            Self::Oci { path, image } | Self::OciArchive { path, image } => match image {
                LayoutImage::Only => write!(f, "{}", path.display()),
                LayoutImage::Named(name) => write!(f, "{}:{name}", path.display()),
                LayoutImage::At(place) => write!(f, "{}:@{place}", path.display()),
            },
            Self::DockerArchive { path, image } => match image {
                ArchiveImage::Only => write!(f, "{}", path.display()),
                ArchiveImage::Named(reference) => write!(f, "{}:{reference}", path.display()),
                ArchiveImage::At(place) => write!(f, "{}:@{place}", path.display()),
            },
            Self::DockerDaemon(DaemonImage::Named(reference)) => write!(f, "{reference}"),
            Self::DockerDaemon(DaemonImage::Id(digest)) => write!(f, "{digest}"),
        }
    }
}
