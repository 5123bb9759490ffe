//! The copy engine: plan, graph, blobs, manifests, and the top last.

mod attached;
mod blobs;
mod convert;
mod deliver;
mod embedded;
mod flights;
mod gate;
mod graph;
mod journal;
mod layer_type;
mod lock;
mod making;
mod manifests;
mod options;
mod plan;
pub mod platform;
mod report;
mod resolve;
pub mod retry;
mod verified;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use berth_oci::{Descriptor, Digest, manifest::Kind};

use self::{graph::Graph, journal::Journal};
use crate::{
    Error, Event, ImageName, Progress, RawManifest, Result, Role, Session, Sink, SinkTraits, Source,
    error::ResultExt,
};

pub(crate) use flights::Flights;
pub use journal::journal_folder;
pub use options::{Compression, CompressionFormat, ManifestFormat, Options};
pub use report::{BlobReport, Report};
pub use verified::Verified;

/// Copies what `source` means to `sink`. Children go before parents and the top goes last; content streams through
/// verified, and nothing is written to this machine's disk but the journal of [`Options::resume`].
///
/// What is there already is left alone: where both sides name the same manifest, and nothing was asked that would change
/// it or add to it, one HEAD of each side is all (the report's `manifest` is empty then).
///
/// Dropping the future ends the copy. What was uploaded stays as blobs that no name leads to.
///
/// # Errors
/// As the source and the sink; the policy's refusal; what a conversion cannot do. Whatever the error, nothing that the
/// destination's name meant before is changed.
pub async fn run(
    session: &Session,
    source: &dyn Source,
    sink: &dyn Sink,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Report> {
    let destination = destination(sink).into();
    let journal = journal(source, sink, options, progress)?;
    let copy = Copy { session, source, sink, options, progress, traits: sink.traits(), destination, journal };
    let report = copy.run().await?;
    copy.journal.map_or(Ok(()), Journal::remove)?;
    Ok(report)
}

fn journal(
    source: &dyn Source,
    sink: &dyn Sink,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Option<Journal>> {
    let Some(folder) = &options.resume else { return Ok(None) };
    let journal = Journal::open(folder, &source.name().to_string(), &sink.name().to_string())?;
    if journal.is_none() {
        progress.event(Event::Warning(format!(
            "another process copies {} to {}; this one notes nothing to resume by",
            source.name(),
            sink.name()
        )));
    }
    Ok(journal)
}

/// One copy, and what it has at hand.
struct Copy<'a> {
    session: &'a Session,
    source: &'a dyn Source,
    sink: &'a dyn Sink,
    options: &'a Options,
    progress: &'a dyn Progress,
    traits: SinkTraits,
    /// Where blobs go, whatever the image's name: what copies of one process share.
    destination: Arc<str>,
    /// The notes of `--resume`.
    journal: Option<Journal>,
}

/// The place where a sink's blobs are.
fn destination(sink: &dyn Sink) -> String {
    match (sink.repository(), sink.name()) {
        (Some(repository), _) => format!("docker://{}", repository.reference()),
        (None, ImageName::Oci { path, .. }) => format!("oci:{}", path.display()),
        (None, name) => name.to_string(),
    }
}

impl Copy<'_> {
    async fn run(&self) -> Result<Report> {
        let current = self.current().await?;
        if let Some(current) = &current
            && let Some(report) = self.unchanged(current).await?
        {
            return Ok(report);
        }
        let (top, follow) = self.top().await?;
        if let Some(report) = self.unchanged_instance(current.as_ref(), &top).await? {
            return Ok(report);
        }
        self.check_destination(&top)?;
        let mut graph = Graph::default();
        graph.add(top)?;
        graph.grow(self.source, 0, follow).await?;
        let signatures = self.signatures(&graph).await?;
        let images = signatures.len();
        if self.options.referrers {
            self.add_referrers(&mut graph).await?;
        }
        if self.options.digest_tags {
            self.add_digest_tags(&mut graph).await?;
        }
        // What is attached may be an image that runs, and comes under a digest or tag that somebody can pull.
        for node in &graph.nodes()[images..] {
            if attached::might_run(&node.manifest) {
                gate::image(self.session, self.source, &node.raw).await?;
            }
        }
        let plan = self.plan(&graph, signatures)?;
        self.announce(&graph, &plan, images);
        for node in &graph.nodes()[..images] {
            if node.manifest.kind == Kind::Image {
                self.sink.expect(&node.manifest).await?;
            }
        }

        let placed = self.blobs(&plan.tasks).await?;
        let outgoing = self.outgoing(&graph, &plan, &placed)?;
        if graph.nodes().len() > images {
            self.check_attached(outgoing.changed(&graph))?;
        }
        self.put_children(&graph, &outgoing, 0).await?;
        self.put_signatures(&plan, &outgoing, images).await?;
        let (top, was) = (outgoing.at(0), &graph.nodes()[0].raw.digest);
        let kind = if graph.nodes()[0].manifest.kind == Kind::Index { "manifest list" } else { "manifest" };
        self.progress.event(Event::Step(format!("Writing {kind} to image destination")));
        self.put_manifest(top, Role::Top, was).await?;
        self.sink.commit().await.context("committing the finished image")?;
        Ok(Report {
            source_digest: (top.digest != *was).then(|| was.clone()),
            manifests: graph.nodes().len(),
            blobs: blobs::reports(&placed),
            bytes_copied: blobs::bytes_copied(&placed),
            unchanged: false,
            ..self.report(&top.descriptor()?, top.raw.clone())
        })
    }

    fn report(&self, top: &Descriptor, manifest: bytes::Bytes) -> Report {
        Report {
            source: self.source.name().to_string(),
            destination: self.sink.name().to_string(),
            digest: top.digest.clone(),
            media_type: top.media_type.clone(),
            source_digest: None,
            unchanged: true,
            manifests: 0,
            blobs: Vec::new(),
            bytes_copied: 0,
            manifest,
        }
    }

    fn announce(&self, graph: &Graph, plan: &plan::Plan, images: usize) {
        if let Some(top) = graph.nodes().first().filter(|top| top.manifest.kind == Kind::Index) {
            let listed = top.manifest.manifests.len();
            let copied = images - 1;
            self.progress.event(Event::Step(format!(
                "Copying {copied} images generated from {listed} images in list"
            )));
        }
        self.progress.event(Event::Planned {
            manifests: graph.nodes().len(),
            blobs: plan.tasks.len(),
            bytes: plan.tasks.bytes(),
        });
    }

    /// A destination that is a digest takes what has it, and nothing else.
    fn check_destination(&self, top: &RawManifest) -> Result<()> {
        let Some(pin) = self.sink.name().reference().and_then(|reference| reference.digest()) else {
            return Ok(());
        };
        let found = Digest::of(pin.algorithm(), &top.raw);
        if found == *pin {
            return Ok(());
        }
        Err(Error::Integrity(format!(
            "Digest of source image's manifest would not match destination reference: it is {found}, and {} asks for {pin}",
            self.sink.name()
        )))
    }
}
