//! Which entry of index.json a name means.

use berth_oci::{Descriptor, Reference};

use super::{CONTAINERD_NAME, Index, Store, index::ref_name};
use crate::{Error, Result, name::LayoutImage};

/// The entry that `image` means.
///
/// # Errors
/// `Error::NotFound` if none is it, or more than one could be.
pub(super) fn select(index: &Index, image: &LayoutImage, store: &Store) -> Result<Descriptor> {
    match image {
        LayoutImage::Only => only(index, store),
        LayoutImage::At(place) => index.entries().nth(*place).cloned().ok_or_else(|| {
            absent(
                store,
                format!("index {place} is too large, only {} entries available", index.entries().len()),
            )
        }),
        LayoutImage::Named(name) => named(index, name)
            .ok_or_else(|| absent(store, format!("no descriptor found for reference \"{name}\""))),
    }
}

/// The entry without which there is none. Referrers of an image are no images beside it.
fn only(index: &Index, store: &Store) -> Result<Descriptor> {
    let mut images = Vec::new();
    for entry in index.entries() {
        let referrer = index.entries().len() > 1
            && ref_name(entry).is_none()
            && match store.manifest(&entry.digest, Some(entry.media_type.clone())) {
                Ok(manifest) => manifest.parse().is_ok_and(|manifest| manifest.subject.is_some()),
                // An entry that cannot be read still is one: it is not for us to choose another.
                Err(_) => false,
            };
        if !referrer {
            images.push(entry);
        }
    }
    match &images[..] {
        [one] => Ok((*one).clone()),
        [] => Err(absent(store, "no image in oci".to_owned())),
        _ => Err(absent(store, "more than one image in oci, choose an image".to_owned())),
    }
}

/// By the name as it stands; else by what it means, where one entry alone has that.
fn named(index: &Index, name: &str) -> Option<Descriptor> {
    if let Some(entry) = index.entries().find(|entry| ref_name(entry) == Some(name)) {
        return Some(entry.clone());
    }
    let wanted = name.parse::<Reference>().ok().map(Reference::or_latest);
    let full = |entry: &&Descriptor| wanted.is_some() && full_name(entry) == wanted;
    if let Some(entry) = one(index.entries().filter(full)) {
        return Some(entry);
    }
    let tag = |entry: &&Descriptor| {
        full_name(entry).is_some_and(|full| full.tag().is_some_and(|tag| tag.as_str() == name))
    };
    one(index.entries().filter(tag))
}

/// Where they all are the same image, that.
fn one<'a>(mut entries: impl Iterator<Item = &'a Descriptor>) -> Option<Descriptor> {
    let first = entries.next()?;
    entries.all(|other| other.digest == first.digest).then(|| first.clone())
}

fn full_name(entry: &Descriptor) -> Option<Reference> {
    let full = entry.annotations.get(CONTAINERD_NAME).map(String::as_str);
    // A bare tag would parse as a name; it is none.
    let text = full.or_else(|| ref_name(entry).filter(|name| name.contains([':', '/'])))?;
    text.parse::<Reference>().ok().map(Reference::or_latest)
}

fn absent(store: &Store, reason: String) -> Error {
    Error::NotFound { what: "choosing an image".to_owned(), place: store.place(), reason }
}
