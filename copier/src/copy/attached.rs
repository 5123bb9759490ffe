//! What is attached to images and is copied on request: referrers (distribution-spec, "Listing Referrers") and the
//! tags that cosign makes of a digest.

use std::collections::HashSet;

use berth_oci::{Descriptor, Digest, ManifestReference, Tag};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Copy,
    graph::{Follow, Graph, READS, fetch},
};
use crate::{Error, Event, Result, error::ResultExt, remote::Repository};

/// Referrers of one manifest that are taken at most (C9).
const MAX_REFERRERS: usize = 1_000;
/// Endings of the tags that speak of a digest.
const ENDINGS: [&str; 3] = ["sig", "att", "sbom"];
/// What cosign attaches in the form of an image: signatures, attestations, bills of material.
const DOCUMENTS: [&str; 9] = [
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.in-toto+json",
    "application/vnd.cyclonedx+json",
    "application/vnd.cyclonedx+xml",
    "application/vnd.syft+json",
    "application/spdx+json",
    "text/spdx",
    "text/spdx+json",
];
/// Manifests whose tags are asked for one by one; for more the repository's list of tags costs fewer requests.
const ASKED_SINGLY: usize = 4;

impl Copy<'_> {
    /// Adds the referrers of every manifest in the graph, theirs, and so on.
    ///
    /// # Errors
    /// As the source; `Error::Integrity` beyond the bounds of a copy.
    pub(super) async fn add_referrers(&self, graph: &mut Graph) -> Result<()> {
        let mut asked = 0;
        while asked < graph.nodes().len() {
            let subjects: Vec<Digest> =
                graph.nodes()[asked..].iter().map(|node| node.raw.digest.clone()).collect();
            asked = graph.nodes().len();
            let lists = stream::iter(subjects).map(|subject| self.referrers(subject)).buffered(READS);
            let found: Vec<_> = lists.try_collect().await?;
            let mut seen = HashSet::new();
            let fresh =
                found.into_iter().flatten().filter(|referrer| graph.place(&referrer.digest).is_none());
            let fresh: Vec<_> = fresh.filter(|referrer| seen.insert(referrer.digest.clone())).collect();
            let reads = stream::iter(fresh).map(|referrer| fetch(self.source, referrer)).buffered(READS);
            let read: Vec<_> = reads.try_collect().await?;
            for raw in read {
                let place = graph.nodes().len();
                if graph.add(raw)? {
                    graph.grow(self.source, place, Follow::All).await?;
                }
            }
        }
        Ok(())
    }

    async fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>> {
        let found = self.source.referrers(&subject).await;
        let mut found = found.context(format_args!("reading referrers of {subject}"))?;
        if found.len() > MAX_REFERRERS {
            self.progress.event(Event::Warning(format!(
                "{subject} has {} referrers; the first {MAX_REFERRERS} are copied",
                found.len()
            )));
            found.truncate(MAX_REFERRERS);
        }
        Ok(found)
    }

    /// Adds what lies under the tags of every manifest's digest, with the tags.
    ///
    /// # Errors
    /// `Error::Usage` where a side is no registry; as the source.
    pub(super) async fn add_digest_tags(&self, graph: &mut Graph) -> Result<()> {
        let (Some(from), Some(_)) = (self.source.repository(), self.sink.repository()) else {
            return Err(Error::Usage(
                "--digest-tags copies tags from registry to registry; use --referrers, or docker:// on both sides"
                    .to_owned(),
            ));
        };
        let digests = graph.nodes().iter().map(|node| node.raw.digest.clone());
        let mut tags: Vec<Tag> = digests.flat_map(|digest| tags_of(&digest)).collect();
        if tags.len() > ASKED_SINGLY * ENDINGS.len() {
            let there: HashSet<Tag> = from.tags().await.context("listing tags")?.into_iter().collect();
            tags.retain(|tag| there.contains(tag));
        }
        let reads = stream::iter(tags).map(|tag| read_tag(from, tag)).buffered(READS);
        let read: Vec<_> = reads.try_filter_map(async |found| Ok(found)).try_collect().await?;
        for (tag, raw) in read {
            let (place, digest) = (graph.nodes().len(), raw.digest.clone());
            if graph.add(raw)? {
                graph.grow(self.source, place, Follow::All).await?;
            }
            graph.tag(&digest, tag);
        }
        Ok(())
    }

    /// Asserts that what was attached to images still is: it speaks of the digests that they had.
    ///
    /// # Errors
    /// `Error::Refused` if one of them changed.
    pub(super) fn check_attached(&self, changed: Option<&Digest>) -> Result<()> {
        match changed {
            Some(was) => Err(Error::Refused(format!(
                "manifest {was} would change, and what refers to it would refer to nothing; copy without --referrers and \
                 --digest-tags, or with --preserve-digests"
            ))),
            None => Ok(()),
        }
    }
}

/// Whether something that is attached may be an image that runs, and so the policy's to judge. Some runtimes look at what
/// a layer is and not at what it is called; so all is judged that calls itself an image, but for what has nothing in it
/// and what has documents of known kinds alone, as signatures of cosign do.
pub(super) fn might_run(manifest: &berth_oci::Manifest) -> bool {
    let is_document = |layer: &Descriptor| DOCUMENTS.contains(&layer.media_type.as_str());
    super::convert::is_image(manifest) && !manifest.layers.iter().all(is_document)
}

/// Tags that speak of a digest: `sha256-….sig` and the like.
fn tags_of(digest: &Digest) -> Vec<Tag> {
    let stem = format!("{}-{}", digest.algorithm(), digest.hex());
    ENDINGS.iter().filter_map(|ending| format!("{stem}.{ending}").parse().ok()).collect()
}

async fn read_tag(from: &Repository, tag: Tag) -> Result<Option<(Tag, crate::RawManifest)>> {
    match from.manifest(&ManifestReference::Tag(tag.clone())).await {
        Ok(raw) => Ok(Some((tag, raw))),
        Err(error) if matches!(error.root(), Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.context(format_args!("reading tag {tag}"))),
    }
}
