//! Images that go: names first, the image with its last name.

use crate::{
    cli::Context,
    error::{Result, RunnerError},
    record::Desired,
    store::Image,
    supervisor::removal,
};

/// How images are removed.
pub(crate) struct Removal<'a> {
    /// The store and the containers.
    pub(crate) context: &'a Context,
    /// `--all`: whatever its names.
    pub(crate) all: bool,
    /// `--force`: also one whose id has several names, and the containers that use it, which are stopped.
    pub(crate) force: bool,
}

impl Removal<'_> {
    /// Removes an image that `text` named; answers lines as podman prints them.
    ///
    /// # Errors
    /// [`RunnerError::Conflict`] where containers use it, or an id has several names, and `--force` is not said.
    pub(crate) fn remove(&self, text: &str, image: &Image) -> Result<Vec<String>> {
        let store = &self.context.store;
        let by_name = !self.all && !names_by_id(text, image);
        if by_name && image.names.len() > 1 {
            let name = named(text, image)?;
            store.untag(&name)?;
            return Ok(vec![format!("Untagged: {name}")]);
        }
        if !by_name && image.names.len() > 1 && !self.force && !self.all {
            return Err(RunnerError::Conflict(format!(
                "image {text} has several names ({}): remove one by its name, or all with --force",
                image.names.join(", ")
            )));
        }
        let users = self.users(image)?;
        if self.force {
            let records = &self.context.records;
            users.iter().try_for_each(|user| removal::remove(records, user, true, None))?;
        } else if !users.is_empty() {
            let named: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
            return Err(RunnerError::Conflict(format!(
                "image {text} is used by {}: remove {} first, `berth-runner rm {}`, or say --force",
                named.join(", "),
                if named.len() == 1 { "it" } else { "them" },
                named.join(" ")
            )));
        }
        store.remove_image(&image.manifest)?;
        // Older manifests of the same image, which nothing names any more.
        for older in
            store.images()?.into_iter().filter(|other| other.id == image.id && other.names.is_empty())
        {
            store.remove_image(&older.manifest)?;
        }
        let mut said: Vec<_> = image.names.iter().map(|name| format!("Untagged: {name}")).collect();
        said.push(format!("Deleted: {}", image.id.hex()));
        Ok(said)
    }

    fn users(&self, image: &Image) -> Result<Vec<Desired>> {
        let (all, _damaged) = self.context.records.all()?;
        Ok(all.into_iter().filter(|one| one.image.as_ref().is_some_and(|of| of.id == image.id)).collect())
    }
}

/// Whether a text is (the beginning of) the image's id or its manifest's digest, and no name.
fn names_by_id(text: &str, image: &Image) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let digest = |digest: &berth_oci::Digest| !hex.is_empty() && digest.hex().starts_with(hex);
    (digest(&image.id) || digest(&image.manifest)) && named(text, image).is_err()
}

/// The image's name that a text means.
pub(super) fn named(text: &str, image: &Image) -> Result<String> {
    let mut meant = vec![text.to_owned()];
    meant.extend(super::name::own(text));
    meant.extend(text.parse().map(|reference: berth_oci::Reference| super::name::full(&reference)));
    let one = image.names.iter().find(|name| meant.contains(name));
    // A short name of a registry that registries.conf knows.
    let tail = || {
        let ends = |name: &&String| meant.iter().any(|meant| name.ends_with(&format!("/{meant}")));
        image.names.iter().find(ends)
    };
    one.or_else(tail).cloned().ok_or_else(|| RunnerError::NotFound(format!("{text} is no name of the image")))
}
