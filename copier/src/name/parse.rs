//! The grammar of each transport (containers-transports(5)).

use std::path::PathBuf;

use berth_oci::{Algorithm, Digest, Reference};

use super::{ArchiveImage, DaemonImage, ImageName, LayoutImage};
use crate::Error;

const UNKNOWN: &str = "@@unknown-digest@@";

pub(super) fn name(text: &str) -> Result<ImageName, Error> {
    let shown = text.escape_debug();
    let fault = |reason: String| Error::Usage(format!("Invalid image name \"{shown}\": {reason}"));
    let Some((transport, rest)) = text.split_once(':') else {
        return Err(Error::Usage(format!(
            "Invalid image name \"{shown}\", expected colon-separated transport:reference, like \
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
            "\"{shown}\": containers-storage is podman's own store, which this program does not open; use `podman push` \
             or `podman save` with docker-archive: or oci-archive:"
        ))),
        "sif" => Err(Error::Unsupported(format!(
            "\"{shown}\": sif files are not read; convert with `apptainer build` first"
        ))),
        "tarball" | "ostree" => Err(Error::Unsupported(format!(
            "\"{shown}\": The transport \"{transport}:\" is not supported in this build"
        ))),
        _ => Err(Error::Usage(format!(
            "Invalid image name \"{shown}\", unknown transport \"{}\"; known are docker, dir, oci, oci-archive, \
             docker-archive and docker-daemon",
            transport.escape_debug()
        ))),
    }
}

fn path(rest: &str) -> Result<PathBuf, String> {
    match rest {
        "" => Err("a path must follow the colon".to_owned()),
        rest if rest.contains('\0') => Err("a path has no NUL".to_owned()),
        rest => Ok(rest.into()),
    }
}

fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|fault| format!("invalid reference format: {fault}"))
}

fn docker(rest: &str) -> Result<ImageName, String> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(format!("docker: image reference {} does not start with //", rest.escape_debug()));
    };
    if let Some(rest) = rest.strip_suffix(UNKNOWN) {
        let reference = reference(rest)?;
        if reference.tag().is_some() || reference.digest().is_some() {
            return Err(format!("{UNKNOWN} stands in place of a tag or digest"));
        }
        return Ok(ImageName::Docker { reference, unknown_digest: true });
    }
    let reference = reference(rest)?;
    if reference.tag().is_some() && reference.digest().is_some() {
        return Err(
            "Docker references with both a tag and digest are currently not supported; give one of them"
                .to_owned(),
        );
    }
    Ok(ImageName::Docker { reference: reference.or_latest(), unknown_digest: false })
}

fn place(number: &str) -> Result<usize, String> {
    // parse() takes a sign as well, and so does Skopeo, but for the minus.
    number.parse().map_err(|_| {
        format!("Invalid source index @{}: not a number; images count from @0", number.escape_debug())
    })
}

/// `path[:name|@place]`: the path ends at the first colon.
fn layout(rest: &str) -> Result<(PathBuf, LayoutImage), String> {
    let (file, image) = rest.split_once(':').unwrap_or((rest, ""));
    let image = match image.strip_prefix('@') {
        Some(number) => LayoutImage::At(place(number)?),
        None if image.is_empty() => LayoutImage::Only,
        None if is_ref_name(image) => LayoutImage::Named(image.to_owned()),
        None => {
            return Err(format!(
                "Invalid image {}; the name of a layout's image is made of letters and digits, joined by one of -._:@+/ \
                 or by --",
                image.escape_debug()
            ));
        }
    };
    Ok((path(file)?, image))
}

/// The grammar of `org.opencontainers.image.ref.name` (image-spec, annotations.md).
fn is_ref_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let separators = bytes.split(|byte| word(*byte)).filter(|run| !run.is_empty());
    word(*first)
        && word(*last)
        && separators
            .into_iter()
            .all(|run| run == b"--" || matches!(run, [b'-' | b'.' | b'_' | b':' | b'@' | b'+' | b'/']))
}

/// `path[:name[:tag]|@place]`.
fn archive(rest: &str) -> Result<ImageName, String> {
    let (file, image) = match rest.split_once(':') {
        Some((file, image)) => (file, Some(image)),
        None => (rest, None),
    };
    let image = match image {
        None => ArchiveImage::Only,
        Some(image) => match image.strip_prefix('@') {
            Some(number) => ArchiveImage::At(place(number)?),
            None => {
                let reference = reference(image)?.or_latest();
                if reference.digest().is_some() {
                    return Err(format!(
                        "reference does not include a tag: {reference}; archives know no digests"
                    ));
                }
                ArchiveImage::Named(reference)
            }
        },
    };
    Ok(ImageName::DockerArchive { path: path(file)?, image })
}

/// `name:tag`, `name@digest` or an image's id, `sha256:…`.
fn daemon(rest: &str) -> Result<ImageName, String> {
    if let Ok(id) = rest.parse::<Digest>() {
        if id.algorithm() != Algorithm::Sha256 {
            return Err(format!(
                "Invalid docker-daemon: reference {rest}: only digest algorithm sha256 accepted"
            ));
        }
        return Ok(ImageName::DockerDaemon(DaemonImage::Id(id)));
    }
    let reference = reference(rest)?;
    if reference.host() == berth_oci::reference::DEFAULT_HOST && reference.name().as_str() == "library/sha256"
    {
        return Err(format!(
            "Invalid docker-daemon: reference {rest}: The sha256 repository name is reserved for (non-shortened) digest \
             references"
        ));
    }
    match (reference.tag(), reference.digest()) {
        (None, None) => {
            Err(format!("docker-daemon: reference {} has neither a tag nor a digest", reference.familiar()))
        }
        (Some(_), Some(_)) => {
            Err("docker-daemon: references with both a tag and digest are currently not supported".to_owned())
        }
        _ => Ok(ImageName::DockerDaemon(DaemonImage::Named(reference))),
    }
}
