//! Which of an artifact's layers become files, and under which names. All of it is looked at before anything is fetched.

use std::collections::BTreeMap;

use berth_oci::{Descriptor, Digest, MediaType};

use super::{FOLDER_TYPE, Pull, TAR_DIGEST, TITLE, UNPACK, title::Title};
use crate::{Error, Result};

/// A layer that will be a file.
pub(super) struct Planned {
    pub(super) title: Title,
    pub(super) layer: Descriptor,
}

/// The layers with a title, each name once, and the digests of those without one.
///
/// # Errors
/// `Error::Integrity` for titles that are no names below a folder, or clash.
pub(super) fn plan(layers: Vec<Descriptor>, how: &Pull) -> Result<(Vec<Planned>, Vec<Digest>)> {
    let mut planned: Vec<Planned> = Vec::new();
    let mut skipped = Vec::new();
    let mut taken: BTreeMap<Title, Digest> = BTreeMap::new();
    for layer in layers {
        let Some(text) = layer.annotations.get(TITLE) else {
            if layer.media_type.as_str() != MediaType::OCI_EMPTY {
                skipped.push(layer.digest);
            }
            continue;
        };
        let title = Title::parse(text)?;
        match taken.insert(title.clone(), layer.digest.clone()) {
            None => planned.push(Planned { title, layer }),
            Some(other) if other == layer.digest => {}
            Some(other) => {
                return Err(Error::Integrity(format!(
                    "the artifact calls two files \"{title}\": {other} and {}",
                    layer.digest
                )));
            }
        }
    }
    for file in &planned {
        let inside = |other: &&Planned| {
            other.title != file.title && other.title.parts().starts_with(file.title.parts())
        };
        if let Some(other) = planned.iter().find(inside).filter(|_| !file.is_folder(how)) {
            return Err(Error::Integrity(format!(
                "the artifact has the file \"{}\" and another one below it, \"{}\"",
                file.title, other.title
            )));
        }
    }
    Ok((planned, skipped))
}

impl Planned {
    /// Whether it is to be unpacked.
    pub(super) fn is_folder(&self, how: &Pull) -> bool {
        let asked = self.layer.annotations.get(UNPACK).is_some_and(|value| value == "true");
        asked || (how.unpack && self.layer.media_type.as_str() == FOLDER_TYPE)
    }

    /// What the artifact says of the packed tar file.
    ///
    /// # Errors
    /// `Error::Integrity` if that is no digest.
    pub(super) fn tar_digest(&self) -> Result<Option<Digest>> {
        let told = self.layer.annotations.get(TAR_DIGEST).map(|text| text.parse());
        told.transpose().map_err(|fault| {
            Error::Integrity(format!("the artifact's annotation {TAR_DIGEST} of \"{}\": {fault}", self.title))
        })
    }
}

#[cfg(test)]
mod tests {
    use berth_oci::Algorithm;

    use super::*;

    fn layer(title: &str, content: &str) -> Descriptor {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let mut layer = Descriptor::new(MediaType::new("text/plain"), digest, content.len() as u64);
        layer.annotations.insert(TITLE.to_owned(), title.to_owned());
        layer
    }

    #[test]
    fn names_that_clash_are_refused_before_anything_is_fetched() {
        let how = Pull::default();
        for (one, other) in [("a", "./a"), ("a", "a/b"), ("a/b", "a")] {
            let error = plan(vec![layer(one, "1"), layer(other, "2")], &how).err().unwrap();
            assert_eq!(error.exit_code(), 4, "{one} {other}");
        }
        let (planned, _) = plan(vec![layer("a", "1"), layer("a", "1"), layer("b", "1")], &how).unwrap();
        assert_eq!(planned.len(), 2);
    }

    #[test]
    fn layers_without_a_title_are_told_but_for_the_empty_one() {
        let mut bare = layer("x", "1");
        bare.annotations.clear();
        let (planned, skipped) =
            plan(vec![super::super::document::empty(), bare.clone()], &Pull::default()).unwrap();
        assert!(planned.is_empty());
        assert_eq!(skipped, [bare.digest]);
    }
}
