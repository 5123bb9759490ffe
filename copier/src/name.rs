//! Where an image is, in the grammar that Skopeo's users write: `transport:rest`.

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

mod parse {
    //! The grammar of each transport.

    use std::path::PathBuf;

    use berth_oci::Reference;

    use super::{ArchiveImage, DaemonImage, ImageName, LayoutImage};
    use crate::Error;

    const UNKNOWN: &str = "@@unknown-digest@@";

    pub(super) fn name(text: &str) -> Result<ImageName, Error> {
        let fault = |reason: String| {
            Error::Usage(format!("Invalid image name \"{text}\": invalid reference format: {reason}"))
        };
        let Some((transport, rest)) = text.split_once(':') else {
            return Err(Error::Usage(format!(
                "Invalid image name \"{text}\", expected colon-separated transport:reference, like \
                 docker://registry.example.org/app:1.0"
            )));
        };
        match transport {
            "docker" => docker(rest).map_err(fault),
            "dir" => path(rest).map(ImageName::Dir).map_err(fault),
            "oci" => layout(rest).map(|(path, image)| ImageName::Oci { path, image }).map_err(fault),
            "oci-archive" => {
                layout(rest).map(|(path, image)| ImageName::OciArchive { path, image }).map_err(fault)
            }
            "docker-archive" => archive(rest).map_err(fault),
            "docker-daemon" => daemon(rest).map_err(fault),
            "containers-storage" => Err(Error::Unsupported(format!(
                "\"{text}\": containers-storage is podman's own store, which this program does not open; use `podman push` or \
                 `podman save` with docker-archive: or oci-archive:"
            ))),
            "sif" => Err(Error::Unsupported(format!(
                "\"{text}\": sif files are not read; convert with `apptainer build` first"
            ))),
            "tarball" | "ostree" => {
                Err(Error::Unsupported(format!("\"{text}\": the transport {transport} is not supported")))
            }
            _ => Err(Error::Usage(format!(
                "Invalid image name \"{text}\", unknown transport \"{transport}\"; known are docker, dir, oci, oci-archive, \
                 docker-archive and docker-daemon"
            ))),
        }
    }

    fn path(rest: &str) -> Result<PathBuf, String> {
        if rest.is_empty() { Err("a path must follow the colon".to_owned()) } else { Ok(rest.into()) }
    }

    fn docker(rest: &str) -> Result<ImageName, String> {
        let Some(rest) = rest.strip_prefix("//") else {
            return Err("a registry's image begins with docker://".to_owned());
        };
        if let Some(rest) = rest.strip_suffix(UNKNOWN) {
            let reference: Reference = rest.parse().map_err(|e| format!("{e}"))?;
            if reference.tag().is_some() || reference.digest().is_some() {
                return Err(format!("{UNKNOWN} stands in place of a tag or digest"));
            }
            return Ok(ImageName::Docker { reference, unknown_digest: true });
        }
        let reference: Reference = rest.parse().map_err(|e| format!("{e}"))?;
        if reference.tag().is_some() && reference.digest().is_some() {
            return Err("both a tag and a digest; give one of them".to_owned());
        }
        Ok(ImageName::Docker { reference: reference.or_latest(), unknown_digest: false })
    }

    /// `path[:rest]`: the path ends at the first colon.
    fn split(rest: &str) -> Result<(PathBuf, Option<&str>), String> {
        let (file, image) = match rest.split_once(':') {
            Some((file, image)) => (file, (!image.is_empty()).then_some(image)),
            None => (rest, None),
        };
        Ok((path(file)?, image))
    }

    fn place(image: &str) -> Option<Result<usize, String>> {
        image
            .strip_prefix('@')
            .map(|n| n.parse().map_err(|_| format!("\"@{n}\" is no place; images count from @0")))
    }

    fn layout(rest: &str) -> Result<(PathBuf, LayoutImage), String> {
        let (path, image) = split(rest)?;
        let image = match image {
            None => LayoutImage::Only,
            Some(image) => match place(image) {
                Some(at) => LayoutImage::At(at?),
                None => LayoutImage::Named(image.to_owned()),
            },
        };
        Ok((path, image))
    }

    fn archive(rest: &str) -> Result<ImageName, String> {
        let (path, image) = split(rest)?;
        let image = match image {
            None => ArchiveImage::Only,
            Some(image) => match place(image) {
                Some(at) => ArchiveImage::At(at?),
                None => {
                    let reference: Reference = image.parse().map_err(|e| format!("{e}"))?;
                    if reference.digest().is_some() {
                        return Err("an archive names images by tag, not by digest".to_owned());
                    }
                    ArchiveImage::Named(reference.or_latest())
                }
            },
        };
        Ok(ImageName::DockerArchive { path, image })
    }

    fn daemon(rest: &str) -> Result<ImageName, String> {
        if let Ok(digest) = rest.parse() {
            return Ok(ImageName::DockerDaemon(DaemonImage::Id(digest)));
        }
        let reference: Reference = rest.parse().map_err(|e| format!("{e}"))?;
        Ok(ImageName::DockerDaemon(DaemonImage::Named(reference.or_latest())))
    }
}
