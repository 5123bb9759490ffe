//! `manifest.json`: a list of images, each with its configuration, layers and names.

use berth_oci::Reference;
use serde::{Deserialize, Serialize};

use super::{super::TarIndex, MANIFEST_FILE};
use crate::{Error, Result, name::ArchiveImage};

/// Most bytes of the list.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// An image; names of files are from the archive's root.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    pub(super) config: String,
    /// `null` is as good as nothing.
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
}

/// Reads the list.
pub(super) fn read(tar: &TarIndex) -> Result<Vec<Item>> {
    let raw = tar.read_file(MANIFEST_FILE, MAX_BYTES)?.ok_or_else(|| Error::NotFound {
        what: format!("loading tar component \"{MANIFEST_FILE}\""),
        place: tar.path().display().to_string(),
        reason: "file does not exist; this is no archive of Docker 1.10 or later".to_owned(),
    })?;
    serde_json::from_slice(&raw)
        .map_err(|fault| Error::Integrity(format!("{}: {MANIFEST_FILE}: {fault}", tar.path().display())))
}

/// The image that is meant.
pub(super) fn choose(items: Vec<Item>, image: &ArchiveImage, tar: &TarIndex) -> Result<Item> {
    let count = items.len();
    let found = match image {
        ArchiveImage::Only if count == 1 => items.into_iter().next(),
        ArchiveImage::Only => None,
        ArchiveImage::At(place) => items.into_iter().nth(*place),
        ArchiveImage::Named(wanted) => items.into_iter().find(|item| {
            let tags = item.repo_tags.iter().flatten();
            tags.filter_map(|tag| tag.parse::<Reference>().ok()).any(|tag| tag.or_latest() == *wanted)
        }),
    };
    found.ok_or_else(|| Error::NotFound {
        what: "choosing an image".to_owned(),
        place: tar.path().display().to_string(),
        reason: match image {
            ArchiveImage::Only => {
                format!("Unexpected tar manifest.json: expected 1 item, got {count}; choose one by its name or by @PLACE")
            }
            ArchiveImage::At(place) => {
                format!("Invalid source index @{place}, only {count} manifest items available")
            }
            ArchiveImage::Named(wanted) => format!("Tag \"{wanted}\" not found"),
        },
    })
}
