//! Everything that one name means: the manifests under it, each once, with their places.

use std::collections::HashMap;

use berth_oci::{
    Descriptor, Digest, Manifest, MediaType, Platform, Tag, Verifier,
    manifest::{Kind, MAX_INDEX_DEPTH},
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::platform;
use crate::{Error, RawManifest, Result, Source, error::ResultExt};

/// Manifests of one copy at most (C11).
pub(super) const MAX_NODES: usize = 10_000;
/// Bytes of all manifests of one copy at most: they are held until they are written.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Manifests that are read at once.
pub(super) const READS: usize = 8;

/// One manifest of the source.
#[derive(Debug)]
pub(super) struct Node {
    /// Its bytes and its digest as the source has it.
    pub(super) raw: RawManifest,
    /// What they say.
    pub(super) manifest: Manifest,
    /// Entries of an index that are no manifests (caches of builders list layers so).
    pub(super) blobs: Vec<Descriptor>,
    /// Tags that it gets besides (tags made of a digest).
    pub(super) tags: Vec<Tag>,
}

/// Which entries of an index are followed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Follow<'a> {
    All,
    None,
    Platforms(&'a [Platform]),
}

/// Manifests by digest. What an index names and is not here is not copied.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    places: HashMap<Digest, usize>,
    bytes: usize,
}

impl Graph {
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn place(&self, digest: &Digest) -> Option<usize> {
        self.places.get(digest).copied()
    }

    pub(super) fn tag(&mut self, digest: &Digest, tag: Tag) {
        if let Some(place) = self.place(digest) {
            self.nodes[place].tags.push(tag);
        }
    }

    /// Adds a manifest; `false` if it was there.
    ///
    /// # Errors
    /// `Error::Integrity` beyond the bounds of a copy, `Error::Manifest` for what is none.
    pub(super) fn add(&mut self, raw: RawManifest) -> Result<bool> {
        if self.places.contains_key(&raw.digest) {
            return Ok(false);
        }
        let manifest = raw.parse()?;
        self.bytes += raw.raw.len();
        if self.nodes.len() == MAX_NODES {
            return Err(Error::Integrity(format!("the source means more than {MAX_NODES} manifests")));
        }
        if self.bytes > MAX_BYTES {
            return Err(Error::Integrity(format!(
                "the source's manifests have more than {MAX_BYTES} bytes together"
            )));
        }
        let raw = RawManifest { media_type: Some(manifest.media_type.clone()), ..raw };
        self.places.insert(raw.digest.clone(), self.nodes.len());
        self.nodes.push(Node { raw, manifest, blobs: Vec::new(), tags: Vec::new() });
        Ok(true)
    }

    /// Whether manifests, in order of their digests, are named with the sizes that others name them with or that they have.
    fn check_sizes(&self, named: &[Descriptor]) -> Result<()> {
        let here = |child: &Descriptor| Some(self.nodes[self.place(&child.digest)?].raw.raw.len() as u64);
        let twice = named.windows(2).filter(|pair| pair[0].digest == pair[1].digest);
        let twice = twice.map(|pair| (&pair[0], pair[1].size));
        let known = named.iter().filter_map(|child| Some((child, here(child)?)));
        match twice.chain(known).find(|(child, size)| child.size != *size) {
            None => Ok(()),
            Some((child, size)) => Err(Error::Integrity(format!(
                "manifest {} is named with {} bytes and has or is named with {size}",
                child.digest, child.size
            ))),
        }
    }

    /// Reads what stands under the manifest at `place`, level by level.
    ///
    /// # Errors
    /// As [`Self::add`] and the source; `Error::Integrity` for indexes nested too deeply.
    pub(super) async fn grow(&mut self, source: &dyn Source, place: usize, follow: Follow<'_>) -> Result<()> {
        let mut level = vec![place];
        for depth in 0.. {
            let mut wanted: Vec<Descriptor> = Vec::new();
            for place in level.drain(..) {
                wanted.extend(self.children(place, follow));
            }
            wanted.sort_by(|a, b| a.digest.cmp(&b.digest));
            self.check_sizes(&wanted)?;
            wanted.retain(|child| !self.places.contains_key(&child.digest));
            wanted.dedup_by(|a, b| a.digest == b.digest);
            if wanted.is_empty() {
                return Ok(());
            }
            if depth >= MAX_INDEX_DEPTH {
                return Err(Error::Integrity(format!(
                    "indexes are nested more than {MAX_INDEX_DEPTH} deep under {}",
                    source.name()
                )));
            }
            if self.nodes.len() + wanted.len() > MAX_NODES {
                return Err(Error::Integrity(format!("the source means more than {MAX_NODES} manifests")));
            }
            let mut reads = stream::iter(wanted).map(|child| fetch(source, child)).buffer_unordered(READS);
            while let Some(raw) = reads.try_next().await? {
                let place = self.nodes.len();
                if self.add(raw)? {
                    level.push(place);
                }
            }
        }
        Ok(())
    }

    /// Entries to read of an index; those that are no manifests are noted as its blobs.
    fn children(&mut self, place: usize, follow: Follow<'_>) -> Vec<Descriptor> {
        let node = &mut self.nodes[place];
        let followed = |entry: &&Descriptor| match follow {
            Follow::All => true,
            Follow::None => false,
            Follow::Platforms(platforms) => {
                let nested = entry.platform.is_none() && is_index(&entry.media_type);
                nested || platforms.iter().any(|asked| platform::named(entry, asked))
            }
        };
        let entries = node.manifest.manifests.iter().filter(followed).cloned();
        let (manifests, blobs) = entries.partition(|entry| is_manifest(&entry.media_type));
        node.blobs = blobs;
        manifests
    }

    /// Places of all manifests such that each comes behind what it names: in rounds, whose members may go at once.
    pub(super) fn rounds(&self) -> Vec<Vec<usize>> {
        let mut heights: Vec<Option<usize>> = vec![None; self.nodes.len()];
        // Depth is bounded, and digests make cycles impossible: they were verified.
        let mut stack: Vec<usize> = (0..self.nodes.len()).collect();
        while let Some(place) = stack.pop() {
            if heights[place].is_some() {
                continue;
            }
            let children: Vec<usize> =
                self.nodes[place].manifest.manifests.iter().filter_map(|c| self.place(&c.digest)).collect();
            let waiting: Vec<usize> = children.iter().copied().filter(|c| heights[*c].is_none()).collect();
            if waiting.is_empty() {
                let tallest = children.iter().filter_map(|child| heights[*child]).max();
                heights[place] = Some(tallest.map_or(0, |height| height + 1));
            } else {
                stack.push(place);
                stack.extend(waiting);
            }
        }
        let mut rounds: Vec<Vec<usize>> = Vec::new();
        for (place, height) in heights.into_iter().enumerate() {
            let height = height.unwrap_or_default();
            rounds.resize_with(rounds.len().max(height + 1), Vec::new);
            rounds[height].push(place);
        }
        rounds
    }
}

pub(super) fn is_index(media_type: &MediaType) -> bool {
    matches!(media_type.as_str(), MediaType::OCI_INDEX | MediaType::DOCKER_LIST)
}

/// Whether an index's entry of this type is read as a manifest. Types that nobody knows are, if they are JSON; layers
/// and caches are blobs.
fn is_manifest(media_type: &MediaType) -> bool {
    let text = media_type.as_str();
    let config = matches!(text, MediaType::OCI_CONFIG | MediaType::DOCKER_CONFIG | MediaType::OCI_EMPTY);
    !config && (text.ends_with("json") || text == MediaType::DOCKER_SCHEMA1_SIGNED)
}

/// Reads the manifest of a descriptor and verifies it.
///
/// # Errors
/// `Error::Verify` for bytes that are others, and as the source.
pub(super) async fn fetch(source: &dyn Source, child: Descriptor) -> Result<RawManifest> {
    let raw = match child.data {
        Some(data) => data,
        None => {
            let read = source.manifest(Some(&child.digest)).await;
            read.context(format_args!("reading manifest {} of {}", child.digest, source.name()))?.raw
        }
    };
    let mut verifier = Verifier::new(child.digest.clone(), child.size);
    verifier.update(&raw)?;
    verifier.finish()?;
    Ok(RawManifest { raw, media_type: Some(child.media_type), digest: child.digest })
}

/// Takes the source's top manifest as the graph's first, verified against a digest in the source's name (C5).
///
/// # Errors
/// `Error::Integrity` if the name has another digest.
pub(super) fn pinned(source: &dyn Source, top: RawManifest) -> Result<RawManifest> {
    let Some(pin) = source.name().reference().and_then(|reference| reference.digest()) else {
        return Ok(top);
    };
    let found = Digest::of(pin.algorithm(), &top.raw);
    if found == *pin {
        Ok(RawManifest { digest: found, ..top })
    } else {
        Err(Error::Integrity(format!("the manifest of {} should be {pin} and is {found}", source.name())))
    }
}

/// What a copy of one platform's image begins at: the instance that the index names for it, through nested indexes.
///
/// # Errors
/// `Error::NotFound` with the platforms that there are; as [`fetch`].
pub(super) async fn instance(
    source: &dyn Source,
    top: RawManifest,
    wanted: &[Platform],
) -> Result<RawManifest> {
    let place = source.name().to_string();
    let mut raw = top;
    for _ in 0..=MAX_INDEX_DEPTH {
        let manifest = raw.parse()?;
        if manifest.kind != Kind::Index {
            return Ok(raw);
        }
        let chosen = platform::choose(&manifest, wanted, &place)
            .context(format_args!("choosing an image from manifest list {place}"))?;
        raw = fetch(source, chosen.clone()).await?;
    }
    Err(Error::Integrity(format!("indexes are nested more than {MAX_INDEX_DEPTH} deep under {place}")))
}
