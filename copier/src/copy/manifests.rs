//! Manifests on their way: children before parents, the top last.

use std::collections::HashMap;

use berth_oci::{Descriptor, Digest, ManifestReference, MediaType, Reference, manifest::Kind};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    Copy,
    blobs::Placed,
    convert,
    flights::Key,
    gate,
    graph::{Graph, READS},
    options::ManifestFormat,
    plan::Plan,
    platform::ZSTD_INSTANCE,
};
use crate::{Error, Event, RawManifest, Result, Role, error::ResultExt, signature::Signature};

/// The manifests as the destination gets them, by the places of the graph.
pub(super) struct Outgoing(Vec<RawManifest>);

impl Outgoing {
    pub(super) fn at(&self, place: usize) -> &RawManifest {
        &self.0[place]
    }

    /// The first manifest of the graph that is another at the destination, by its digest at the source.
    pub(super) fn changed<'a>(&self, graph: &'a Graph) -> Option<&'a Digest> {
        let mut was = graph.nodes().iter().map(|node| &node.raw.digest).zip(&self.0);
        was.find(|(was, now)| **was != now.digest).map(|(was, _)| was)
    }
}

impl Copy<'_> {
    /// Writes every manifest as it will be, from the leaves up.
    ///
    /// # Errors
    /// `Error::Refused` for a change that may not be; what a conversion cannot do.
    pub(super) fn outgoing(&self, graph: &Graph, plan: &Plan, placed: &[Placed]) -> Result<Outgoing> {
        let mut written: HashMap<usize, RawManifest> = HashMap::new();
        for place in graph.rounds().into_iter().flatten() {
            let (node, step) = (&graph.nodes()[place], &plan.steps[place]);
            let own = ManifestFormat::of(&node.manifest.media_type);
            let raw = match (node.manifest.kind, step.convert.or(own)) {
                (Kind::Index, Some(format)) => {
                    let child = |entry: &Descriptor| written.get(&graph.place(&entry.digest)?);
                    let relinked = |entry| relinked(entry, child(entry), format);
                    let entries: Vec<Descriptor> = node.manifest.manifests.iter().map(relinked).collect();
                    let same = entries == node.manifest.manifests && step.convert.is_none();
                    if same { node.raw.clone() } else { convert::index(&node.manifest, format, &entries)? }
                }
                (Kind::Image, Some(format)) => {
                    let layers: Vec<Descriptor> =
                        step.layers.iter().map(|at| placed[*at].blob.clone()).collect();
                    let same = step.convert.is_none()
                        && layers
                            .iter()
                            .zip(&node.manifest.layers)
                            .all(|(now, was)| now.digest == was.digest);
                    let was = || node.manifest.layers.iter().zip(&layers);
                    let layers: Vec<Descriptor> = was()
                        .map(|(was, now)| if was.digest == now.digest { was } else { now }.clone())
                        .collect();
                    if same { node.raw.clone() } else { convert::image(&node.manifest, format, &layers)? }
                }
                _ => node.raw.clone(),
            };
            if let Some(reason) = step.frozen.filter(|_| raw.digest != node.raw.digest) {
                return Err(Error::Refused(format!(
                    "manifest {} would become {}, but we cannot modify it: {reason}",
                    node.raw.digest, raw.digest
                )));
            }
            written.insert(place, raw);
        }
        Ok(Outgoing((0..graph.nodes().len()).filter_map(|place| written.remove(&place)).collect()))
    }

    /// Puts all manifests but the top, each round when the one below it is there.
    pub(super) async fn put_children(&self, graph: &Graph, outgoing: &Outgoing, top: usize) -> Result<()> {
        let at_once = if self.traits.concurrent { READS } else { 1 };
        for round in graph.rounds() {
            let puts = round.into_iter().filter(|place| *place != top).map(Ok::<_, Error>);
            stream::iter(puts)
                .try_for_each_concurrent(at_once, async |place| {
                    let manifest = outgoing.at(place);
                    self.put_manifest(manifest, Role::Child, &graph.nodes()[place].raw.digest).await?;
                    for tag in &graph.nodes()[place].tags {
                        let Some(repository) = self.sink.repository() else { continue };
                        let under = ManifestReference::Tag(tag.clone());
                        let put = repository.put_manifest(manifest, &under).await;
                        put.context(format_args!("writing tag {tag} to {}", self.sink.name()))?;
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }

    pub(super) async fn put_manifest(&self, manifest: &RawManifest, role: Role, was: &Digest) -> Result<()> {
        let put = match (role, self.sink.repository()) {
            (Role::Child, Some(_)) => self.put_child_once(manifest).await,
            _ => {
                let _turn = self.session.flights().turn(&self.destination, &manifest.digest).await;
                self.sink.put_manifest(manifest, role).await
            }
        };
        if put.is_err() {
            // The registry may miss a blob that this process takes to be there: the next attempt asks again.
            self.session.flights().forget(&self.destination);
        }
        put.context("writing manifest")?;
        self.progress.event(Event::ManifestDone {
            digest: manifest.digest.clone(),
            was: (manifest.digest != *was).then(|| was.clone()),
        });
        Ok(())
    }

    /// Puts a child into a repository unless another copy of this process just did: tags of one index are many, and its
    /// children once there stay there. Distribution moreover refuses an index while one of its children is written again.
    async fn put_child_once(&self, manifest: &RawManifest) -> Result<()> {
        let key = Key {
            destination: self.destination.clone(),
            digest: manifest.digest.clone(),
            recipe: "manifest".to_owned(),
        };
        let put = self.session.flights().once(key, async || {
            self.sink.put_manifest(manifest, Role::Child).await?;
            Ok((manifest.descriptor()?, ()))
        });
        put.await.map(drop)
    }

    /// Signatures to go along with the first manifests of the graph: those that are at the source.
    ///
    /// # Errors
    /// As the source and the policy; `Error::Refused` where there are signatures that the destination cannot hold.
    pub(super) async fn signatures(&self, graph: &Graph) -> Result<Vec<Vec<Signature>>> {
        // As Skopeo, which asks for each image and not for the list; but a list that goes alone is asked for.
        let images = graph.nodes().iter().any(|node| node.manifest.kind != Kind::Index);
        let found = stream::iter(0..graph.nodes().len()).map(async |place| {
            let node = &graph.nodes()[place];
            if node.manifest.kind != Kind::Index || !images {
                gate::image(self.session, self.source, &node.raw).await?;
            }
            if self.options.remove_signatures {
                return Ok(Vec::new());
            }
            let words = if node.manifest.kind == Kind::Index {
                "Getting image list signatures"
            } else {
                "Getting image source signatures"
            };
            self.progress.event(Event::Step(words.to_owned()));
            self.source.signatures(&node.raw.digest).await.context("reading signatures")
        });
        let found: Vec<_> = found.buffered(READS).try_collect().await?;
        let coming = found.iter().flatten();
        let sigstore = |signature: &Signature| matches!(signature, Signature::Sigstore { .. });
        let (sigstores, simples): (Vec<_>, Vec<_>) = coming.partition(|signature| sigstore(signature));
        self.check_signers()?;
        let made =
            |is_sigstore| self.options.signers.iter().any(|signer| signer.is_sigstore() == is_sigstore);
        if found.iter().any(|signatures| !signatures.is_empty()) {
            self.progress.event(Event::Step("Checking if image destination supports signatures".to_owned()));
            if !self.traits.signatures {
                return Err(Error::Refused(format!(
                    "can not copy signatures to {}: it holds none; --remove-signatures copies without them",
                    self.sink.name()
                )));
            }
        }
        self.sink
            .check_signatures(!simples.is_empty() || made(false), !sigstores.is_empty() || made(true))?;
        Ok(found)
    }

    /// Asserts that what is to be signed can be, before anything moves.
    fn check_signers(&self) -> Result<()> {
        if self.options.signers.is_empty() {
            return Ok(());
        }
        if !self.traits.signatures {
            return Err(Error::Unsupported(format!("{} holds no signatures", self.sink.name())));
        }
        self.sign_identity().map(drop)
    }

    /// The name that signatures speak of.
    fn sign_identity(&self) -> Result<&Reference> {
        let identity = self.options.sign_identity.as_ref().or_else(|| self.sink.identity());
        identity.ok_or_else(|| {
            Error::Usage(format!(
                "cannot determine canonical Docker reference for destination {}; give one with --sign-identity",
                self.sink.name()
            ))
        })
    }

    /// Makes the signatures that were asked for, and stores them with those that came along. They are there before the
    /// name is: whoever demands them never sees the image without.
    pub(super) async fn put_signatures(&self, plan: &Plan, outgoing: &Outgoing, images: usize) -> Result<()> {
        let mut told = false;
        for (place, step) in plan.steps.iter().enumerate().take(images) {
            let manifest = outgoing.at(place);
            let mut signatures = step.signatures.clone();
            signatures.extend(self.sign(manifest).await?);
            if signatures.is_empty() {
                continue;
            }
            if !told {
                self.progress.event(Event::Step("Storing signatures".to_owned()));
                told = true;
            }
            let put = self.sink.put_signatures(&manifest.digest, &signatures).await;
            put.context("writing signatures")?;
        }
        Ok(())
    }

    async fn sign(&self, manifest: &RawManifest) -> Result<Vec<Signature>> {
        let mut made = Vec::new();
        for signer in &self.options.signers {
            let identity = self.sign_identity()?;
            self.progress.event(Event::Step("Signing manifest".to_owned()));
            made.push(signer.sign(manifest, identity).await.context("signing")?);
        }
        Ok(made)
    }
}

/// An index's entry for a manifest as it was written.
fn relinked(entry: &Descriptor, written: Option<&RawManifest>, format: ManifestFormat) -> Descriptor {
    let Some(raw) = written.filter(|raw| raw.digest != entry.digest) else { return entry.clone() };
    let mut entry = Descriptor {
        media_type: raw.media_type.clone().unwrap_or_else(|| entry.media_type.clone()),
        digest: raw.digest.clone(),
        size: raw.raw.len() as u64,
        data: None,
        ..entry.clone()
    };
    // Clients that can read zstd find the entry by this, and those that cannot leave it alone.
    let zstd = |layer: &Descriptor| layer.media_type.as_str() == MediaType::OCI_LAYER_ZSTD;
    let layers = raw.parse().map(|manifest| manifest.layers).unwrap_or_default();
    if format == ManifestFormat::Oci && layers.iter().any(zstd) {
        entry.annotations.insert(ZSTD_INSTANCE.to_owned(), "true".to_owned());
    }
    entry
}
