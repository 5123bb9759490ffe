//! One repository at the destination: where tags are deleted.

use std::path::PathBuf;

use berth_oci::{Reference, Tag};

use super::naming::Destination;
use crate::{ImageName, Result, name::LayoutImage};

/// What a repository of a source becomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A repository; without tag and digest.
    Docker(Reference),
    /// Folders in a folder, whose names are this and a tag.
    Dir { folder: PathBuf, stem: String },
    /// Images of a layout, whose names are this and a tag.
    Oci { layout: PathBuf, stem: String },
}

impl Place {
    /// The place of a source's repository.
    ///
    /// # Errors
    /// As [`Destination::name`].
    pub(super) fn of(destination: &Destination, repository: &Reference) -> Result<Self> {
        // Any tag shows the place of all of them.
        let unsuffixed = Destination { suffix: String::new(), ..destination.clone() };
        let name = unsuffixed.name(&format!("{repository}:x"))?;
        let stem = |text: &str| text.strip_suffix('x').unwrap_or(text).to_owned();
        Ok(match name {
            ImageName::Dir(path) => {
                let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
                let folder = path.parent().map(PathBuf::from).unwrap_or_default();
                Self::Dir { folder, stem: stem(&file.unwrap_or_default()) }
            }
            ImageName::Oci { path, image: LayoutImage::Named(named) } => {
                Self::Oci { layout: path, stem: stem(&named) }
            }
            other => {
                Self::Docker(other.reference().unwrap_or(repository).clone().with_tag(None).with_digest(None))
            }
        })
    }

    /// The image with this tag.
    pub(super) fn image(&self, tag: &Tag) -> ImageName {
        match self {
            Self::Docker(repository) => ImageName::Docker {
                reference: repository.clone().with_tag(Some(tag.clone())),
                unknown_digest: false,
            },
            Self::Dir { folder, stem } => ImageName::Dir(folder.join(format!("{stem}{tag}"))),
            Self::Oci { layout, stem } => {
                ImageName::Oci { path: layout.clone(), image: LayoutImage::Named(format!("{stem}{tag}")) }
            }
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Docker(repository) => write!(f, "docker://{repository}"),
            Self::Dir { folder, stem } => write!(f, "dir:{}", folder.join(stem).display()),
            Self::Oci { layout, stem } => write!(f, "oci:{}:{stem}", layout.display()),
        }
    }
}

/// Tags that stand for a digest: how referrers (distribution-spec, "Referrers Tag Schema") and cosign's signatures are
/// kept where they have no list of their own.
pub(super) fn stands_for_digest(tag: &str) -> bool {
    let hex = |text: &str| text.len() >= 64 && text.bytes().take(64).all(|byte| byte.is_ascii_hexdigit());
    ["sha256-", "sha512-"].iter().filter_map(|prefix| tag.strip_prefix(prefix)).any(hex)
}
