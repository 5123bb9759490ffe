//! What people write for an image: a name, in full or not, or a transport and a place.

use berth_copier::{
    Error, ImageName,
    config::Registries,
    name::{ArchiveImage, LayoutImage},
};
use berth_oci::Reference;

use crate::error::{Result, RunnerError};

/// Words that begin the name of a place that is no registry, or says expressly that it is one.
const TRANSPORTS: &[&str] =
    &["docker", "dir", "oci", "oci-archive", "docker-archive", "docker-daemon", "containers-storage"];

/// Where images are that were made here.
pub(crate) const LOCALHOST: &str = "localhost";

/// What a text means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// An image in a registry: what the name could mean, the likeliest first.
    Registry(Vec<Reference>),
    /// A place of another transport.
    Place(ImageName),
}

/// Whether a text begins with a transport: `oci:/folder`, `docker://host/name`.
pub(crate) fn has_transport(text: &str) -> bool {
    text.split_once(':').is_some_and(|(first, rest)| {
        TRANSPORTS.contains(&first) && (first != "docker" || rest.starts_with("//"))
    })
}

/// Reads what is to be pulled. A short name means what registries.conf says (aliases, then each of the
/// `unqualified-search-registries`); where no file says anything it is docker.io's.
///
/// # Errors
/// [`RunnerError::Usage`] for what is no name, or one that could be in several registries and the mode is `enforcing`.
pub(crate) fn read(text: &str, registries: &Registries) -> Result<Named> {
    if has_transport(text) {
        return match text.parse().map_err(usage)? {
            ImageName::Docker { reference, unknown_digest: false } => {
                Ok(Named::Registry(vec![reference.or_latest()]))
            }
            ImageName::Docker { unknown_digest: true, .. } => Err(RunnerError::Usage(format!(
                "{text}: an image without tag and digest can be written and not read"
            ))),
            place => Ok(Named::Place(place)),
        };
    }
    match registries.resolve_short(text) {
        Ok(candidates) => Ok(Named::Registry(candidates)),
        Err(error) => match text.parse::<Reference>() {
            // A name it is; there is nothing to resolve it by.
            Ok(reference) if registries.unqualified_search().is_empty() => {
                Ok(Named::Registry(vec![reference.or_latest()]))
            }
            _ => Err(usage(error)),
        },
    }
}

fn usage(error: Error) -> RunnerError {
    match error {
        Error::Usage(text) => RunnerError::Usage(text),
        other => RunnerError::Copier(other),
    }
}

/// The name that an image gets here (`tag`, `import`, `commit`): one without a registry is localhost's.
///
/// # Errors
/// [`RunnerError::Usage`] for what is no name, or has a digest.
pub(crate) fn own(text: &str) -> Result<String> {
    let fault = |rule: &dyn std::fmt::Display| {
        RunnerError::Usage(format!("{text:?} is no name for an image: {rule}; like localhost/app:1.0"))
    };
    let reference: Reference = text.parse().map_err(|error| fault(&error))?;
    if reference.digest().is_some() {
        return Err(fault(&"a digest cannot be chosen; leave it out"));
    }
    let first = text.split('/').next().unwrap_or_default();
    let registry = text.contains('/')
        && (first == LOCALHOST
            || first.contains(['.', ':'])
            || first.bytes().any(|b| b.is_ascii_uppercase()));
    let full = if registry { text.to_owned() } else { format!("{LOCALHOST}/{text}") };
    let full: Reference = full.parse().map_err(|error| fault(&error))?;
    Ok(full.or_latest().to_string())
}

/// The name of an image in full, as the store keeps it: a digest goes before a tag.
pub(crate) fn full(reference: &Reference) -> String {
    match reference.digest() {
        Some(_) => reference.clone().with_tag(None).to_string(),
        None => reference.clone().or_latest().to_string(),
    }
}

/// The names that an image from another transport's place brings along.
pub(crate) fn of_place(place: &ImageName) -> Vec<String> {
    match place {
        ImageName::Docker { reference, .. }
        | ImageName::DockerArchive { image: ArchiveImage::Named(reference), .. }
        | ImageName::DockerDaemon(berth_copier::name::DaemonImage::Named(reference)) => vec![full(reference)],
        ImageName::Oci { image: LayoutImage::Named(name), .. }
        | ImageName::OciArchive { image: LayoutImage::Named(name), .. } => own(name).into_iter().collect(),
        ImageName::Oci { .. }
        | ImageName::OciArchive { .. }
        | ImageName::Dir(_)
        | ImageName::DockerArchive { .. }
        | ImageName::DockerDaemon(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_registry_is_made_here() {
        for (text, full) in [
            ("app", "localhost/app:latest"),
            ("app:1", "localhost/app:1"),
            ("team/app", "localhost/team/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:x", "localhost:5000/app:x"),
            ("docker.io/library/app", "docker.io/library/app:latest"),
            ("docker.io/app", "docker.io/library/app:latest"),
        ] {
            assert_eq!(own(text).unwrap(), full, "{text}");
        }
        for text in ["", "UPPER case", "a:b:c", "app@sha256:00", "/x"] {
            assert_eq!(own(text).unwrap_err().exit_code(), 2, "{text}");
        }
    }

    #[test]
    fn transports_are_told_from_names() {
        for text in ["docker://x", "oci:/a", "docker-archive:a.tar", "dir:x", "oci-archive:-"] {
            assert!(has_transport(text), "{text}");
        }
        for text in ["docker", "docker:latest", "localhost:5000/x", "a/oci:1", "x"] {
            assert!(!has_transport(text), "{text}");
        }
    }

    #[test]
    fn without_configuration_a_short_name_is_docker_hubs() {
        let named = read("busybox", &Registries::default()).unwrap();
        assert_eq!(named, Named::Registry(vec!["docker.io/library/busybox:latest".parse().unwrap()]));
        assert_eq!(read("no name", &Registries::default()).unwrap_err().exit_code(), 2);
        let pinned = format!("x.org/a@sha256:{}", "0".repeat(64));
        assert_eq!(
            read(&pinned, &Registries::default()).unwrap(),
            Named::Registry(vec![pinned.parse().unwrap()])
        );
    }
}
