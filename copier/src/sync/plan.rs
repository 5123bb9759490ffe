//! What is to be copied where, and what is to be deleted.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    access::Access,
    listing::{Failure, Group, Listing, Manner},
    naming::Destination,
    place::{Place, stands_for_digest},
    request::{Prune, Request},
};
use crate::{Error, ImageName, Result, source::Instances};

/// One image to copy.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) source: ImageName,
    pub(super) destination: ImageName,
    pub(super) manner: Arc<Manner>,
}

/// Everything to do.
pub(super) struct Plan {
    /// Repositories, folders and layouts that the images are of.
    pub(super) sources: usize,
    /// Images, each once, in the order of the source.
    pub(super) items: Vec<Item>,
    /// Tags to delete once the images are copied.
    pub(super) deletions: Vec<ImageName>,
    /// What cannot be done.
    pub(super) failures: Vec<Failure>,
}

/// Plans by what the source has.
///
/// # Errors
/// `Error::Usage` where two images would be one at the destination, and as [`Destination::name`].
pub(super) async fn plan(access: &dyn Access, request: &Request, listing: Listing) -> Result<Plan> {
    let items = items(&listing.groups, &request.to)?;
    let mut failures = listing.failures;
    let deletions = deletions(access, request, &listing.groups, &items, &mut failures).await;
    let sources = listing.groups.iter().filter(|group| !group.images.is_empty()).count();
    Ok(Plan { sources, items, deletions, failures })
}

fn items(groups: &[Group], to: &Destination) -> Result<Vec<Item>> {
    let mut out: Vec<Item> = Vec::new();
    let mut taken: HashMap<ImageName, ImageName> = HashMap::new();
    for group in groups {
        // Lists of referrers that are kept under a tag are indexes without platforms.
        let whole = Arc::new(Manner {
            side: group.manner.side.clone(),
            options: crate::copy::Options { instances: Instances::All, ..group.manner.options.clone() },
        });
        for (source, origin) in &group.images {
            let destination = to.name(origin)?;
            match taken.get(&destination) {
                Some(other) if other == source => continue,
                Some(other) => {
                    return Err(Error::Usage(format!(
                        "{other} and {source} would both be {destination}; keep them apart with --scoped"
                    )));
                }
                None => drop(taken.insert(destination.clone(), source.clone())),
            }
            let tag = source.reference().and_then(|reference| reference.tag());
            let manner = match tag {
                Some(tag) if stands_for_digest(tag.as_str()) => whole.clone(),
                _ => group.manner.clone(),
            };
            out.push(Item { source: source.clone(), destination, manner });
        }
    }
    Ok(out)
}

/// Tags of the destination that the selection covers and no source has. Any doubt about a list, and nothing goes.
async fn deletions(
    access: &dyn Access,
    request: &Request,
    groups: &[Group],
    items: &[Item],
    failures: &mut Vec<Failure>,
) -> Vec<ImageName> {
    if groups.iter().all(|group| group.prune == Prune::Never) {
        return Vec::new();
    }
    if let Some(first) = failures.first() {
        let refusal = format!(
            "nothing is deleted, since the tags of {} could not be listed; sync again when they can",
            first.what
        );
        failures.push(Failure { what: "--prune".to_owned(), error: Error::Refused(refusal) });
        return Vec::new();
    }
    let written: HashSet<&ImageName> = items.iter().map(|item| &item.destination).collect();
    let mut out = Vec::new();
    let mut doubts = Vec::new();
    for (place, groups) in places(groups, &request.to, &mut doubts) {
        match gone(access, &request.to, &place, &groups).await {
            Ok(gone) => out.extend(gone.into_iter().filter(|image| !written.contains(image))),
            Err(error) => doubts.push(Failure { what: place.to_string(), error }),
        }
    }
    if doubts.is_empty() {
        return out;
    }
    failures.extend(doubts);
    Vec::new()
}

/// The groups of each place at which tags may be deleted.
fn places<'a>(
    groups: &'a [Group],
    to: &Destination,
    doubts: &mut Vec<Failure>,
) -> Vec<(Place, Vec<&'a Group>)> {
    let mut out: Vec<(Place, Vec<&Group>)> = Vec::new();
    for group in groups {
        let Some(listed) = &group.listed else { continue };
        match Place::of(to, &listed.repository) {
            Err(error) => doubts.push(Failure { what: group.title.clone(), error }),
            Ok(place) => match out.iter_mut().find(|(known, _)| *known == place) {
                Some((_, of_place)) => of_place.push(group),
                None => out.push((place, vec![group])),
            },
        }
    }
    out.retain(|(_, groups)| groups.iter().any(|group| group.prune != Prune::Never));
    out
}

async fn gone(
    access: &dyn Access,
    to: &Destination,
    place: &Place,
    groups: &[&Group],
) -> Result<Vec<ImageName>> {
    if let Some(empty) = groups.iter().find(|group| group.prune == Prune::Gone && group.images.is_empty()) {
        return Err(Error::Refused(format!(
            "{} has no tag any more that is selected, so every covered tag would be deleted; if that is meant, say \
             --prune=empty-ok",
            empty.title
        )));
    }
    let listed = || groups.iter().filter_map(|group| Some((group.prune, group.listed.as_ref()?)));
    let is_gone = |tag: &str| {
        let covered = listed().any(|(prune, listed)| prune != Prune::Never && listed.selection.covers(tag));
        let there = listed().any(|(_, listed)| listed.tags.iter().any(|known| known.as_str() == tag));
        covered && !there && !stands_for_digest(tag)
    };
    let existing = access.existing(place).await.map_err(|error| error.context("nothing is deleted"))?;
    Ok(existing
        .iter()
        .filter(|tag| to.source_tag(tag.as_str()).is_some_and(is_gone))
        .map(|tag| place.image(tag))
        .collect())
}
