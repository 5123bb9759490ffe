//! What an image is called where it goes.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use berth_oci::Tag;

use crate::{Error, ImageName, Result, name::LayoutImage};

/// What a destination may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A registry, or a path in one.
    Docker,
    /// A folder of folders.
    Dir,
    /// One OCI layout; images are told apart by their names in it.
    Oci,
}

impl FromStr for Transport {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "docker" => Ok(Self::Docker),
            "dir" => Ok(Self::Dir),
            "oci" => Ok(Self::Oci),
            _ => Err(Error::Usage(format!(
                "\"{text}\" is not a valid destination transport; known are docker, dir and oci"
            ))),
        }
    }
}

/// Where images go, and how they are called there.
///
/// An image comes with an origin: for registries its full reference (`registry.example.com/group/app:1.0`), for folders
/// their path under the source, for layouts the name in the index. The destination takes its last component, or with
/// `scoped` all of it, and appends `suffix`.
#[derive(Clone, Debug)]
pub struct Destination {
    /// How images are kept there.
    pub transport: Transport,
    /// `registry.example.org/path`, or a path of this machine.
    pub root: String,
    /// `--scoped`.
    pub scoped: bool,
    /// `--append-suffix`.
    pub suffix: String,
}

impl Destination {
    /// The name for an origin.
    ///
    /// # Errors
    /// `Error::Usage` where that makes no name, `Error::Integrity` for an origin with `..`: it was made by whoever
    /// wrote the source, and would lead out of the destination.
    pub fn name(&self, origin: &str) -> Result<ImageName> {
        let origin = clean(origin)?;
        let short = if self.scoped { origin.as_str() } else { last(&origin) };
        if !self.suffix.is_empty() && short.contains('@') {
            return Err(Error::Usage(format!(
                "{origin}: a digest takes no --append-suffix; list the image by its tag, or leave the suffix out"
            )));
        }
        let named = format!("{short}{}", self.suffix);
        match self.transport {
            Transport::Docker => {
                let root = self.root.trim_end_matches('/');
                format!("docker://{root}/{named}")
                    .parse()
                    .map_err(|error: Error| Error::Usage(format!("{origin} has no name at {root}: {error}")))
            }
            Transport::Dir => Ok(ImageName::Dir(Path::new(&self.root).join(named))),
            Transport::Oci => {
                Ok(ImageName::Oci { path: PathBuf::from(&self.root), image: LayoutImage::Named(named) })
            }
        }
    }

    /// The tag of the source that a tag here would have come from.
    pub(super) fn source_tag<'a>(&self, tag: &'a str) -> Option<&'a str> {
        tag.strip_suffix(&self.suffix).filter(|tag| tag.parse::<Tag>().is_ok())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Docker => "docker://",
            Transport::Dir => "dir:",
            Transport::Oci => "oci:",
        };
        write!(f, "{transport}{}", self.root)
    }
}

fn last(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or(origin)
}

/// Without empty components and `.`.
fn clean(origin: &str) -> Result<String> {
    let parts: Vec<_> = origin.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") || origin.contains('\0') || parts.is_empty() {
        return Err(Error::Integrity(format!(
            "the source calls an image {origin:?}, which is no name under a destination; nothing was written for it"
        )));
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(transport: Transport, root: &str, scoped: bool, suffix: &str, origin: &str) -> Result<String> {
        let destination = Destination { transport, root: root.to_owned(), scoped, suffix: suffix.to_owned() };
        destination.name(origin).map(|name| name.to_string())
    }

    #[test]
    fn names_are_the_last_component_or_the_whole_path() {
        let origin = "registry.example.com/group/app:1.0";
        for (transport, root, scoped, suffix, expected) in [
            (Transport::Docker, "my.io", false, "", "docker://my.io/app:1.0"),
            (Transport::Docker, "my.io/repo/", false, "-mirror", "docker://my.io/repo/app:1.0-mirror"),
            (Transport::Docker, "my.io", true, "", "docker://my.io/registry.example.com/group/app:1.0"),
            (Transport::Dir, "/media/usb", false, "", "dir:/media/usb/app:1.0"),
            (Transport::Dir, "/media/usb", true, "", "dir:/media/usb/registry.example.com/group/app:1.0"),
            (Transport::Oci, "layout", false, "", "oci:layout:app:1.0"),
            (Transport::Oci, "/a/b", true, "", "oci:/a/b:registry.example.com/group/app:1.0"),
        ] {
            assert_eq!(name(transport, root, scoped, suffix, origin).unwrap(), expected);
        }
        let digest = format!("quay.io/a/b@sha256:{}", "0".repeat(64));
        assert_eq!(
            name(Transport::Dir, "/d", false, "", &digest).unwrap(),
            format!("dir:/d/b@sha256:{}", "0".repeat(64))
        );
        assert!(name(Transport::Docker, "my.io", false, "-x", &digest).is_err());
        assert_eq!(
            name(Transport::Docker, "my.io", true, "", "/sub/app:1").unwrap(),
            "docker://my.io/sub/app:1"
        );
    }

    #[test]
    fn c10_an_origin_that_climbs_out_is_refused() {
        for origin in ["../x:1", "a/../../b", "..", "", "/", "a\0b"] {
            let error = name(Transport::Dir, "/media/usb", true, "", origin).unwrap_err();
            assert_eq!(error.exit_code(), 4, "{origin}");
        }
        // The last component alone is harmless, but nobody honest writes such a name.
        assert!(name(Transport::Dir, "/media/usb", false, "", "../../x:1").is_err());
    }

    #[test]
    fn a_scope_with_a_port_is_no_repository() {
        let error = name(Transport::Docker, "my.io", true, "", "localhost:5000/app:1").unwrap_err();
        assert!(error.to_string().contains("has no name at my.io"), "{error}");
    }
}
