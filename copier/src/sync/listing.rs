//! What the source has, and what of it is meant.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use berth_oci::{ManifestReference, Reference, Tag};
use futures_util::{StreamExt, stream};
use tracing::{info, warn};

use super::{
    access::Access,
    config::{self, Images, Registry},
    folders,
    request::{From, Prune, Request},
    tags::{Rule, Selection},
};
use crate::{Error, ImageName, Result, Side, copy::Options, source::Instances};

/// Images with one access and one way to be copied: a repository, a folder, a layout.
#[derive(Clone)]
pub(super) struct Group {
    /// What it is, for people.
    pub(super) title: String,
    /// How images are read and copied.
    pub(super) manner: Arc<Manner>,
    /// The images, and the origin that their names at the destination are made of.
    pub(super) images: Vec<(ImageName, String)>,
    /// The repository's tags, where they were asked for.
    pub(super) listed: Option<Listed>,
    /// Whether tags are deleted.
    pub(super) prune: Prune,
}

/// How the images of a group are read and copied.
pub(super) struct Manner {
    pub(super) side: Side,
    pub(super) options: Options,
}

/// A repository's tags.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) repository: Reference,
    pub(super) tags: Vec<Tag>,
    pub(super) selection: Selection,
}

/// Something that was not done, and why.
#[derive(Debug)]
pub struct Failure {
    /// The image or repository.
    pub what: String,
    /// The fault.
    pub error: Error,
}

/// All that the source has.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) groups: Vec<Group>,
    /// Repositories whose tags could not be listed. The others are synced, but nothing is deleted.
    pub(super) failures: Vec<Failure>,
}

/// Lists the source.
///
/// # Errors
/// If there is nothing at all, or the only list cannot be had.
pub(super) async fn list(access: &dyn Access, request: &Request) -> Result<Listing> {
    let group = |title: String, images| Group {
        title,
        manner: manner(request, request.source.clone(), None),
        images,
        listed: None,
        prune: Prune::Never,
    };
    match &request.from {
        From::Docker(reference) if reference.target().is_some() => {
            let name = image(reference)?;
            let images = vec![(name.clone(), reference.to_string())];
            Ok(Listing { groups: vec![group(name.to_string(), images)], failures: Vec::new() })
        }
        From::Docker(repository) => {
            let tags = access.tags(repository, &request.source).await?;
            let listed = Listed {
                repository: repository.clone(),
                tags,
                selection: selection(request, None, Rule::Every),
            };
            let found = listed_group(manner(request, request.source.clone(), None), listed, request.prune);
            if found.images.is_empty() && request.prune != Prune::EmptyOk {
                return Err(nothing(
                    &repository.to_string(),
                    !found.listed.is_some_and(|l| l.tags.is_empty()),
                ));
            }
            Ok(Listing { groups: vec![found], failures: Vec::new() })
        }
        From::Dir(path) => local(request, path, folders::images_of_folder(path)?, group),
        From::Oci(path) => local(request, path, folders::images_of_layout(path)?, group),
        From::Yaml(path) => Ok(from_list(access, request, config::read(path)?).await),
    }
}

fn nothing(source: &str, filtered: bool) -> Error {
    let why = if filtered { "; it has tags, but none is selected" } else { "" };
    Error::Usage(format!("No images to sync found in \"{source}\"{why}"))
}

fn local(
    request: &Request,
    path: &Path,
    images: Vec<(ImageName, String)>,
    group: impl Fn(String, Vec<(ImageName, String)>) -> Group,
) -> Result<Listing> {
    if request.prune != Prune::Never {
        return Err(Error::Usage(
            "--prune needs a source that says which tags it has: --src docker, or repositories without a list of tags in yaml"
                .to_owned(),
        ));
    }
    let any = !images.is_empty();
    let images = chosen(&selection(request, None, Rule::Every), images);
    if images.is_empty() {
        return Err(nothing(&path.display().to_string(), any));
    }
    Ok(Listing { groups: vec![group(path.display().to_string(), images)], failures: Vec::new() })
}

/// Of images on a disk those whose tags are selected. What has no tag in its name is always taken.
fn chosen(selection: &Selection, images: Vec<(ImageName, String)>) -> Vec<(ImageName, String)> {
    let split = |origin: &str| -> Option<(String, Tag)> {
        let (stem, tag) = origin.rsplit_once(':')?;
        Some((stem.to_owned(), tag.parse().ok()?))
    };
    let mut stems: BTreeMap<String, Vec<Tag>> = BTreeMap::new();
    for (stem, tag) in images.iter().filter_map(|(_, origin)| split(origin)) {
        stems.entry(stem).or_default().push(tag);
    }
    let taken: BTreeMap<_, _> =
        stems.into_iter().map(|(stem, tags)| (stem, selection.choose(&tags))).collect();
    let is_taken = |origin: &str| {
        split(origin).is_none_or(|(stem, tag)| taken.get(&stem).is_some_and(|tags| tags.contains(&tag)))
    };
    images.into_iter().filter(|(_, origin)| is_taken(origin)).collect()
}

fn selection(request: &Request, registry: Option<&Registry>, rule: Rule) -> Selection {
    let mut exclude = request.exclude.clone();
    exclude.extend(registry.iter().flat_map(|registry| registry.exclude.clone()));
    Selection {
        rule,
        include: request.include.clone(),
        exclude,
        latest: registry.and_then(|registry| registry.latest).or(request.latest),
    }
}

fn manner(request: &Request, side: Side, registry: Option<&Registry>) -> Arc<Manner> {
    let mut options = request.options.clone();
    if let Some(registry) = registry {
        if !registry.platforms.is_empty() {
            options.instances = Instances::Platforms(registry.platforms.clone());
        }
        options.referrers |= registry.referrers;
    }
    Arc::new(Manner { side, options })
}

fn image(reference: &Reference) -> Result<ImageName> {
    format!("docker://{reference}").parse()
}

fn listed_group(manner: Arc<Manner>, listed: Listed, prune: Prune) -> Group {
    let images = listed
        .selection
        .choose(&listed.tags)
        .into_iter()
        .map(|tag| {
            let reference = listed.repository.clone().with_tag(Some(tag));
            let origin = reference.to_string();
            (ImageName::Docker { reference, unknown_digest: false }, origin)
        })
        .collect();
    Group { title: format!("docker://{}", listed.repository), manner, images, listed: Some(listed), prune }
}

/// Lists what a YAML file names, every repository once.
async fn from_list(access: &dyn Access, request: &Request, registries: Vec<Registry>) -> Listing {
    let mut out = Listing::default();
    for registry in registries {
        if registry.repositories.is_empty() {
            warn!(registry = %registry.name, "No images specified for registry");
            continue;
        }
        let manner = manner(request, side(request, &registry), Some(&registry));
        let mut asked: Vec<&Reference> = Vec::new();
        for wanted in &registry.repositories {
            if matches!(wanted.images, Images::Listed(_)) && !asked.contains(&&wanted.repository) {
                asked.push(&wanted.repository);
            }
        }
        let side = &manner.side;
        let questions: Vec<_> = asked.iter().map(|repository| access.tags(repository, side)).collect();
        let answers: Vec<_> = stream::iter(questions).buffered(request.parallel.max(1)).collect().await;
        let mut tags = HashMap::new();
        for (repository, answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok(found) => drop(tags.insert(repository, found)),
                Err(error) => out.failures.push(Failure { what: format!("docker://{repository}"), error }),
            }
        }
        let prune = match request.prune {
            Prune::Never if registry.prune => Prune::Gone,
            asked => asked,
        };
        for wanted in &registry.repositories {
            let group = match &wanted.images {
                Images::Named(named) => Some(named_group(manner.clone(), &wanted.repository, named)),
                Images::Listed(rule) => tags.get(&wanted.repository).map(|tags| {
                    let selection = selection(request, Some(&registry), rule.clone());
                    let listed =
                        Listed { repository: wanted.repository.clone(), tags: tags.clone(), selection };
                    listed_group(manner.clone(), listed, prune)
                }),
            };
            let Some(group) = group else { continue };
            info!(repo = %wanted.repository, "Processing repo");
            if group.images.is_empty() {
                warn!(repo = %wanted.repository, "No refs to sync found");
            }
            out.groups.push(group);
        }
    }
    out
}

fn named_group(manner: Arc<Manner>, repository: &Reference, named: &[ManifestReference]) -> Group {
    let images = named
        .iter()
        .map(|named| {
            let reference = match named {
                ManifestReference::Tag(tag) => repository.clone().with_tag(Some(tag.clone())),
                ManifestReference::Digest(digest) => repository.clone().with_digest(Some(digest.clone())),
            };
            let origin = reference.to_string();
            (ImageName::Docker { reference, unknown_digest: false }, origin)
        })
        .collect();
    Group { title: format!("docker://{repository}"), manner, images, listed: None, prune: Prune::Never }
}

/// Access to a registry of the list: what it says over what the command line says.
fn side(request: &Request, registry: &Registry) -> Side {
    let mut side = request.source.clone();
    if let Some(credentials) = &registry.credentials {
        side.credentials = Some(credentials.clone());
        side.anonymous = false;
        side.registry_token = None;
    }
    side.tls_verify = registry.tls_verify.or(side.tls_verify);
    if let Some(cert_dir) = &registry.cert_dir {
        side.cert_dir = Some(PathBuf::from(cert_dir));
    }
    side
}
