//! What is done with each manifest: kept as it is, or written anew, and why it may not be.

use berth_oci::{Descriptor, Digest, Manifest, MediaType, manifest::Kind};

use super::{
    Copy,
    blobs::{Task, Tasks},
    convert,
    graph::{Graph, Node},
    making::{self, Making},
    options::{Compression, ManifestFormat},
};
use crate::{Error, Event, Result, content::Part, signature::Signature};

/// What is done with one manifest.
#[derive(Debug)]
pub(super) struct Step {
    /// The format that it is converted to.
    pub(super) convert: Option<ManifestFormat>,
    /// Why its bytes have to stay as they are.
    pub(super) frozen: Option<&'static str>,
    /// Tasks of its layers, in their order.
    pub(super) layers: Vec<usize>,
    /// Signatures that go with it.
    pub(super) signatures: Vec<Signature>,
}

/// What is done with a whole graph.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By the places of the graph.
    pub(super) steps: Vec<Step>,
    /// All blobs.
    pub(super) tasks: Tasks,
}

impl Copy<'_> {
    /// Decides on every manifest of the graph. The first `images` are what the name means; what comes behind them
    /// (referrers, tags of digests) goes as it is. `signatures` are those of the first ones.
    ///
    /// # Errors
    /// `Error::Refused` where something has to change that may not, `Error::Unsupported` where it cannot.
    pub(super) fn plan(&self, graph: &Graph, signatures: Vec<Vec<Signature>>) -> Result<Plan> {
        if self.options.preserve_digests && !self.traits.keeps_manifest {
            return Err(Error::Refused(format!(
                "{} keeps no manifest, so digests cannot be preserved; leave --preserve-digests out",
                self.sink.name()
            )));
        }
        let mut plan = Plan::default();
        let images = signatures.len();
        let frozen = self.frozen(graph, &signatures);
        let mut signatures = signatures.into_iter();
        for (place, node) in graph.nodes().iter().enumerate() {
            let signatures = signatures.next().unwrap_or_default();
            let frozen = frozen.get(place).copied().flatten();
            let mut step = Step { convert: None, frozen, layers: Vec::new(), signatures };
            let mut makings = Vec::new();
            if place < images {
                makings = self.makings(node, frozen)?;
                step.convert = self.conversion(&node.manifest, &makings)?;
            }
            if let (Some(format), Some(reason)) = (step.convert, frozen) {
                return Err(self.refused(&node.raw.digest, format, reason));
            }
            let format = step.convert.or(ManifestFormat::of(&node.manifest.media_type));
            step.layers = self.tasks(node, format, makings, &mut plan.tasks)?;
            plan.steps.push(step);
        }
        Ok(plan)
    }

    /// What is made of a manifest's layers. Where it may not change, they stay as they are.
    ///
    /// # Errors
    /// `Error::Refused` where something secret would have to be made of them.
    fn makings(&self, node: &Node, frozen: Option<&str>) -> Result<Vec<Option<Making>>> {
        if self.options.encrypt.is_some() && !node.blobs.is_empty() {
            return Err(Error::Refused(format!(
                "index {} lists layers itself, and those would go out unencrypted; copy it without encryption",
                node.raw.digest
            )));
        }
        let makings = making::makings(&node.manifest, self.options, self.traits.layers)?;
        let Some(reason) = frozen.filter(|_| makings.iter().any(Option::is_some)) else { return Ok(makings) };
        let digest = &node.raw.digest;
        if makings.iter().flatten().any(Making::is_secret) {
            return Err(Error::Refused(format!(
                "layers of {digest} would be encrypted or decrypted, but we cannot modify its manifest: {reason}"
            )));
        }
        if self.options.compression != Compression::default() {
            self.progress.event(Event::Warning(format!(
                "layers of {digest} stay as they are, since its manifest may not change: {reason}"
            )));
        }
        Ok(Vec::new())
    }

    /// Why each manifest has to keep its bytes: what stands over it may not change either.
    fn frozen(&self, graph: &Graph, signatures: &[Vec<Signature>]) -> Vec<Option<&'static str>> {
        let all = if self.options.preserve_digests {
            Some("instructed to preserve digests")
        } else if self.sink.name().reference().is_some_and(|reference| reference.digest().is_some()) {
            Some("destination specifies a digest")
        } else {
            None
        };
        let mut frozen: Vec<_> = signatures
            .iter()
            .map(|signatures| all.or((!signatures.is_empty()).then_some("would invalidate signatures")))
            .collect();
        // Rounds go from the leaves up; the way down is the other one.
        for place in graph.rounds().into_iter().rev().flatten().filter(|place| *place < signatures.len()) {
            if let Some(reason) = frozen[place] {
                let children = graph.nodes()[place].manifest.manifests.iter();
                for child in children.filter_map(|child| graph.place(&child.digest)) {
                    if let Some(child) = frozen.get_mut(child) {
                        child.get_or_insert(reason);
                    }
                }
            }
        }
        frozen
    }

    fn refused(&self, digest: &Digest, format: ManifestFormat, reason: &str) -> Error {
        let way_out = match reason {
            "would invalidate signatures" => "; --remove-signatures copies without them",
            "instructed to preserve digests" => "; leave --preserve-digests out to allow it",
            _ => "; give a tag to allow it",
        };
        Error::Refused(format!(
            "manifest {digest} must be converted to {} to be written to {}, but we cannot modify it: {reason}{way_out}",
            format.image(),
            self.sink.name(),
        ))
    }

    /// The format that a manifest has to be converted to: the one that was asked for, or one that the destination takes.
    fn conversion(&self, manifest: &Manifest, makings: &[Option<Making>]) -> Result<Option<ManifestFormat>> {
        let own = ManifestFormat::of(&manifest.media_type);
        let says =
            |format| makings.iter().flatten().try_for_each(|making| making.media_type(format).map(drop));
        let takes = |format: ManifestFormat| match (self.options.format, self.traits.manifest_types) {
            (Some(asked), _) => asked == format,
            (None, Some(types)) => {
                format.counterpart(manifest.kind).is_some_and(|media_type| types.contains(&media_type))
            }
            (None, None) => true,
        };
        let Some(own) = own else {
            return match self.traits.manifest_types {
                Some(types) if !types.contains(&manifest.media_type.as_str()) => {
                    Err(self.untaken(&manifest.media_type))
                }
                _ => Ok(None),
            };
        };
        // As Skopeo, which takes Docker's format where both would do: it is the older one.
        let candidates = [own, ManifestFormat::V2s2, ManifestFormat::Oci];
        let mut candidates = candidates.into_iter().filter(|format| takes(*format)).peekable();
        let first = *candidates.peek().ok_or_else(|| self.untaken(&manifest.media_type))?;
        let Some(format) = candidates.find(|format| says(*format).is_ok()) else {
            return says(first).map(|()| None);
        };
        if format == own {
            return Ok(None);
        }
        if manifest.kind == Kind::Image {
            // What cannot be said in that format is found out before anything moves.
            let kept = manifest.layers.iter().enumerate();
            let kept = kept.filter(|(place, _)| makings.get(*place).is_none_or(Option::is_none));
            convert::check(manifest, format, &kept.map(|(_, layer)| layer.clone()).collect::<Vec<_>>())?;
        }
        Ok(Some(format))
    }

    fn untaken(&self, media_type: &MediaType) -> Error {
        Error::Unsupported(format!("{} takes no manifest of type {media_type}", self.sink.name()))
    }

    /// Notes the blobs of a manifest; answers the places of its layers. Layers come before the configuration, as a
    /// sequential destination gets them.
    fn tasks(
        &self,
        node: &Node,
        format: Option<ManifestFormat>,
        makings: Vec<Option<Making>>,
        tasks: &mut Tasks,
    ) -> Result<Vec<usize>> {
        let image = convert::is_image(&node.manifest);
        let part = |place| if image { Part::Layer(place) } else { Part::Other };
        let mut makings = makings.into_iter();
        let layer = |(place, blob): (usize, &Descriptor)| {
            let elsewhere = self.traits.keeps_manifest
                && !self.traits.unpacks
                && blob.media_type.is_non_distributable()
                && !blob.urls.is_empty();
            let making = match (makings.next().flatten(), format) {
                (Some(making), Some(format)) => Some((making.clone(), making.media_type(format)?)),
                _ => None,
            };
            tasks.add(Task { blob: blob.clone(), part: part(place), elsewhere, making })
        };
        let layers = node.manifest.layers.iter().enumerate().map(layer).collect::<Result<_>>()?;
        for blob in &node.blobs {
            tasks.add(Task { blob: blob.clone(), part: Part::Other, elsewhere: false, making: None })?;
        }
        if let Some(config) = &node.manifest.config {
            let part = if image { Part::Config } else { Part::Other };
            tasks.add(Task { blob: config.clone(), part, elsewhere: false, making: None })?;
        }
        Ok(layers)
    }
}
