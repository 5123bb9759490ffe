//! Sources and sinks in memory: scripted, lying where a test wants it, and writing down what they were asked.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use berth_oci::{Algorithm, Descriptor, Digest, MediaType, RepoName};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::{
    ByteStream, Content, Error, Event, ImageName, Progress, RawManifest, Result, Reuse, Role, Sink,
    SinkTraits, Source, UploadHandle, content::Blob, signature::Signature, sink::LayerForm,
};

pub(super) fn digest(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

pub(super) fn described(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

/// A source with whatever was put in.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) name: Option<ImageName>,
    pub(super) top: Option<Digest>,
    pub(super) manifests: HashMap<Digest, (Bytes, String)>,
    pub(super) blobs: HashMap<Digest, Bytes>,
    pub(super) signatures: HashMap<Digest, Vec<Signature>>,
    pub(super) referrers: HashMap<Digest, Vec<Descriptor>>,
    /// Blobs whose content is another's.
    pub(super) lies: HashMap<Digest, Bytes>,
    pub(super) opened: AtomicUsize,
    pub(super) manifests_read: AtomicUsize,
}

impl Shelf {
    pub(super) fn blob(&mut self, content: &[u8]) -> Digest {
        let digest = digest(content);
        self.blobs.insert(digest.clone(), Bytes::copy_from_slice(content));
        digest
    }

    /// Puts a manifest in and makes it the top.
    pub(super) fn manifest(&mut self, document: &Value) -> Digest {
        let raw = Bytes::from(serde_json::to_vec(document).unwrap());
        let digest = digest(&raw);
        let media_type = document["mediaType"].as_str().unwrap().to_owned();
        self.manifests.insert(digest.clone(), (raw, media_type));
        self.top = Some(digest.clone());
        digest
    }

    /// An image of OCI with these layers.
    pub(super) fn image(&mut self, config: &[u8], layers: &[&[u8]]) -> Digest {
        self.image_of(
            MediaType::OCI_MANIFEST,
            MediaType::OCI_CONFIG,
            MediaType::OCI_LAYER_GZIP,
            config,
            layers,
        )
    }

    pub(super) fn docker_image(&mut self, config: &[u8], layers: &[&[u8]]) -> Digest {
        let layer = MediaType::DOCKER_LAYER_GZIP;
        self.image_of(MediaType::DOCKER_MANIFEST, MediaType::DOCKER_CONFIG, layer, config, layers)
    }

    pub(super) fn image_of(
        &mut self,
        manifest: &str,
        config_type: &str,
        layer: &str,
        config: &[u8],
        layers: &[&[u8]],
    ) -> Digest {
        self.blob(config);
        let layers: Vec<Value> = layers
            .iter()
            .map(|content| {
                self.blob(content);
                described(layer, content)
            })
            .collect();
        self.manifest(&json!({
            "schemaVersion": 2, "mediaType": manifest, "config": described(config_type, config), "layers": layers,
        }))
    }

    /// An index of manifests that are in, each with a platform or none.
    pub(super) fn index(&mut self, entries: &[(&Digest, Option<&str>)]) -> Digest {
        self.index_of(MediaType::OCI_INDEX, entries)
    }

    pub(super) fn index_of(&mut self, media_type: &str, entries: &[(&Digest, Option<&str>)]) -> Digest {
        let entries: Vec<Value> = entries
            .iter()
            .map(|(digest, platform)| {
                let (raw, media_type) = &self.manifests[*digest];
                let mut entry = described(media_type, raw);
                if let Some((os, architecture)) = platform.and_then(|platform| platform.split_once('/')) {
                    entry["platform"] = json!({"os": os, "architecture": architecture});
                }
                entry
            })
            .collect();
        self.manifest(&json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}))
    }

    pub(super) fn descriptor(&self, digest: &Digest) -> Descriptor {
        let (raw, media_type) = &self.manifests[digest];
        Descriptor::new(MediaType::new(media_type), digest.clone(), raw.len() as u64)
    }
}

fn dir(path: &str) -> ImageName {
    ImageName::Dir(path.into())
}

struct Served {
    content: Bytes,
}

#[async_trait]
impl Content for Served {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let rest = self.content.slice(usize::try_from(from).unwrap().min(self.content.len())..);
        let pieces: Vec<Result<Bytes>> =
            rest.chunks(7).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(stream::iter(pieces).boxed())
    }
}

#[async_trait]
impl Source for Shelf {
    fn name(&self) -> &ImageName {
        static NAME: std::sync::LazyLock<ImageName> = std::sync::LazyLock::new(|| dir("/source"));
        self.name.as_ref().unwrap_or(&NAME)
    }

    async fn head(&self) -> Result<Option<Descriptor>> {
        Ok(self.top.as_ref().map(|top| self.descriptor(top)))
    }

    async fn manifest(&self, instance: Option<&Digest>) -> Result<RawManifest> {
        self.manifests_read.fetch_add(1, Ordering::Relaxed);
        let asked = instance.or(self.top.as_ref()).unwrap();
        let (raw, media_type) = self.manifests.get(asked).ok_or_else(|| missing(asked))?;
        Ok(RawManifest::new(raw.clone(), Some(MediaType::new(media_type))))
    }

    async fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Content>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let content = self.lies.get(&blob.digest).or_else(|| self.blobs.get(&blob.digest));
        let content = content.ok_or_else(|| missing(&blob.digest))?;
        Ok(Box::new(Served { content: content.clone() }))
    }

    async fn signatures(&self, manifest: &Digest) -> Result<Vec<Signature>> {
        Ok(self.signatures.get(manifest).cloned().unwrap_or_default())
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        Ok(self.referrers.get(subject).cloned().unwrap_or_default())
    }
}

fn missing(digest: &Digest) -> Error {
    Error::NotFound {
        what: format!("reading {digest}"),
        place: "the shelf".to_owned(),
        reason: "not found".to_owned(),
    }
}

/// A sink that remembers.
pub(super) struct Heap {
    pub(super) name: ImageName,
    pub(super) traits: SinkTraits,
    pub(super) state: Mutex<State>,
    /// Blobs that it refuses to take.
    pub(super) refuses: BTreeSet<Digest>,
    /// Blobs that never arrive: their upload hangs.
    pub(super) hangs: BTreeSet<Digest>,
    /// Whether it has no place for signatures, which its traits do not know.
    pub(super) no_signatures: bool,
    /// What each upload waits for before it takes the first byte.
    pub(super) gate: Option<tokio::sync::Semaphore>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) blobs: BTreeMap<Digest, Bytes>,
    pub(super) manifests: BTreeMap<Digest, Bytes>,
    pub(super) top: Option<Descriptor>,
    pub(super) signatures: BTreeMap<Digest, Vec<Signature>>,
    pub(super) calls: Vec<Call>,
    pub(super) puts_at_once: usize,
    pub(super) most_at_once: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Expect,
    Reuse(Digest),
    Put(Digest),
    Manifest(Digest, Role),
    Signatures(Digest),
    Commit,
}

impl Default for Heap {
    fn default() -> Self {
        Self {
            name: dir("/heap"),
            traits: SinkTraits {
                manifest_types: None,
                indexes: true,
                signatures: true,
                layers: LayerForm::Preserve,
                keeps_manifest: true,
                concurrent: true,
                trust_current: true,
                unpacks: false,
            },
            state: Mutex::default(),
            refuses: BTreeSet::new(),
            hangs: BTreeSet::new(),
            no_signatures: false,
            gate: None,
        }
    }
}

impl Heap {
    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn note(&self, call: Call) {
        self.state().calls.push(call);
    }
}

/// Counts a put that is on its way, also if it is dropped.
struct Flying<'a>(&'a Heap);

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0.state().puts_at_once -= 1;
    }
}

#[async_trait]
impl Sink for Heap {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn traits(&self) -> SinkTraits {
        self.traits.clone()
    }

    async fn current(&self) -> Result<Option<Descriptor>> {
        Ok(self.state().top.clone())
    }

    fn check_signatures(&self, simple: bool, sigstore: bool) -> Result<()> {
        if self.no_signatures && (simple || sigstore) {
            return Err(Error::Unsupported("no place for signatures".to_owned()));
        }
        Ok(())
    }

    async fn expect(&self, _image: &berth_oci::Manifest) -> Result<()> {
        if self.traits.unpacks {
            self.note(Call::Expect);
        }
        Ok(())
    }

    async fn reuse(&self, blob: &Descriptor, _mount_from: &[RepoName]) -> Result<Reuse> {
        self.note(Call::Reuse(blob.digest.clone()));
        let there = self.state().blobs.contains_key(&blob.digest);
        Ok(if there { Reuse::Present } else { Reuse::Absent(None) })
    }

    async fn put(&self, blob: &Blob, content: &dyn Content, _: Option<UploadHandle>) -> Result<Descriptor> {
        let flying = {
            let mut state = self.state();
            state.puts_at_once += 1;
            state.most_at_once = state.most_at_once.max(state.puts_at_once);
            Flying(self)
        };
        if let Some(known) = &blob.known {
            if self.refuses.contains(&known.digest) {
                return Err(Error::Registry {
                    what: format!("writing blob {}", known.digest),
                    status: 400,
                    detail: "no".to_owned(),
                });
            }
            if self.hangs.contains(&known.digest) {
                std::future::pending::<()>().await;
            }
        }
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let whole: Vec<Bytes> = content.open(0).await?.try_collect().await?;
        let whole = Bytes::from(whole.concat());
        let digest = digest(&whole);
        self.note(Call::Put(digest.clone()));
        self.state().blobs.insert(digest.clone(), whole.clone());
        drop(flying);
        Ok(Descriptor::new(blob.media_type.clone(), digest, whole.len() as u64))
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()> {
        self.note(Call::Manifest(manifest.digest.clone(), role));
        let parsed = manifest.parse()?;
        let mut state = self.state();
        for blob in parsed.config.iter().chain(&parsed.layers) {
            assert!(
                state.blobs.contains_key(&blob.digest) || !blob.urls.is_empty(),
                "a manifest before its blobs"
            );
        }
        state.manifests.insert(manifest.digest.clone(), manifest.raw.clone());
        if role == Role::Top {
            state.top = Some(manifest.descriptor()?);
        }
        Ok(())
    }

    async fn put_signatures(&self, manifest: &Digest, signatures: &[Signature]) -> Result<()> {
        self.note(Call::Signatures(manifest.clone()));
        self.state().signatures.insert(manifest.clone(), signatures.to_vec());
        Ok(())
    }

    async fn commit(&self) -> Result<()> {
        self.note(Call::Commit);
        Ok(())
    }
}

/// Keeps the events.
#[derive(Default)]
pub(super) struct Log(Mutex<Vec<Event>>);

impl Progress for Log {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Log {
    pub(super) fn steps(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        let step = |event: &Event| match event {
            Event::Step(text) => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(step).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        let events = self.0.lock().unwrap();
        let bytes = |event: &Event| match event {
            Event::BlobBytes { bytes, .. } => *bytes,
            _ => 0,
        };
        events.iter().map(bytes).sum()
    }
}
