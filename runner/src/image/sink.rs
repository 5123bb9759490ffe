//! The store as the destination of a copy. Layers are unpacked as they come: fetched, inflated, hashed and written in
//! one pass, several beside each other, with no temporary file; those that are here are not fetched.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read},
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use berth_copier::{
    Content, Error, ImageName, RawManifest, Reuse, Role, Sink, SinkTraits, UploadHandle,
    compression::{Limits, Unpack, Unpacked, unpack},
    content::{Blob, Part},
    sink::LayerForm,
};
use berth_oci::{Algorithm, Descriptor, Digest, Manifest, MediaType, Platform, RepoName, manifest::Kind};
use futures_util::TryStreamExt;

use super::{
    config::{self, Outline},
    progress::Told,
};
use crate::{
    error::RunnerError,
    store::{Claim, Image, LayerWriter, Store},
};

/// Manifests that name an image's configuration and layers.
const MANIFEST_TYPES: &[&str] = &[MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST];

/// How much may come out of a packed layer (U11): a tebibyte at most, and past the first gibibyte 100 for each byte.
/// Layers of programs unpack to 2 to 5 for one; what is nearly all zeros can come unpacked.
const LIMITS: Limits = Limits { bytes: 1 << 40, ratio: 100, free: 1 << 30 };

const BUFFER: usize = 256 << 10;

/// One image on its way into the store. A [`crate::store::Hold`] lives as long as it does.
pub(super) struct StoreSink {
    /// The store's folder, for errors.
    place: ImageName,
    store: Store,
    /// What people call the image.
    image: String,
    /// The names that it gets, in full.
    names: Vec<String>,
    /// `--platform`.
    platform: Option<Platform>,
    /// Whether the manifest was made of an archive that keeps none: of an image that is here its own is better.
    manifest_is_made: bool,
    told: Told,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    expected: Option<Manifest>,
    /// By the digest of the packed layer, that of its tar.
    diff_ids: HashMap<Digest, Digest>,
    claims: HashMap<Digest, Box<LayerWriter>>,
    top: Option<Digest>,
    added: Option<Image>,
    /// Why it failed, where the store said so: the engine hands on its own errors.
    fault: Option<RunnerError>,
}

impl StoreSink {
    pub(super) fn new(
        store: &Store,
        image: &str,
        names: Vec<String>,
        platform: Option<Platform>,
        manifest_is_made: bool,
        told: Told,
    ) -> Self {
        Self {
            place: ImageName::Dir(store.folders().images()),
            store: store.clone(),
            image: image.to_owned(),
            names,
            platform,
            manifest_is_made,
            told,
            state: Mutex::default(),
        }
    }

    /// The image, once it was added.
    pub(super) fn added(&self) -> Option<Image> {
        self.state().added.take()
    }

    /// The store's own error, where it was one that ended the copy.
    pub(super) fn fault(&self) -> Option<RunnerError> {
        self.state().fault.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the error for [`Self::fault`] and gives the engine one that says the same.
    fn fail(&self, error: RunnerError) -> Error {
        let twin =
            Error::Other { what: "writing into the store".to_owned(), source: error.to_string().into() };
        self.state().fault.get_or_insert(error);
        twin
    }

    /// Work of the store, on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> crate::error::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(worked) => worked.map_err(|error| self.fail(error)),
            Err(gone) => Err(Error::Other {
                what: "writing into the store".to_owned(),
                source: gone.to_string().into(),
            }),
        }
    }

    /// A writer for a layer, or `None` where it is here: of a process that unpacks it at this moment the end is waited for.
    async fn claim(&self, diff_id: &Digest) -> Result<Option<Box<LayerWriter>>, Error> {
        loop {
            let wanted = diff_id.clone();
            let busy = match self.blocking(move |store| store.begin_layer(&wanted)).await? {
                Claim::Present => return Ok(None),
                Claim::New(writer) => return Ok(Some(writer)),
                Claim::Busy(busy) => busy,
            };
            // Not one of the runtime's threads, for whose end an interrupted command waits.
            let (over, wait) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                // Nobody listens any more: then nobody misses it.
                let _gone = over.send(busy.wait());
            });
            match wait.await {
                Ok(waited) => waited.map_err(|error| self.fail(error))?,
                Err(gone) => {
                    let source = gone.to_string().into();
                    return Err(Error::Other { what: "waiting for a layer".to_owned(), source });
                }
            }
        }
    }

    fn unsupported<T>(&self, why: &str) -> Result<T, Error> {
        Err(self.fail(RunnerError::Unsupported(format!("{}: {why}", self.image))))
    }

    fn content<T>(&self, why: &str) -> Result<T, Error> {
        Err(self.fail(RunnerError::Content(format!("{}: {why}", self.image))))
    }

    fn diff_id(&self, layer: &Digest) -> Result<Digest, Error> {
        let known = self.state().diff_ids.get(layer).cloned();
        known.map_or_else(|| self.content(&format!("{layer} is neither its configuration nor a layer")), Ok)
    }

    fn is_config(&self, blob: &Digest) -> bool {
        let state = self.state();
        state.expected.as_ref().and_then(|image| image.config.as_ref()).is_some_and(|c| c.digest == *blob)
    }

    /// Takes the configuration: whether the image is for this machine, and which layers it has.
    fn learn(&self, config: &[u8]) -> Result<(), Error> {
        let outline = Outline::parse(config).map_err(|error| self.fail(error))?;
        config::check_platform(&self.image, &outline.platform(), self.platform.as_ref())
            .map_err(|error| self.fail(error))?;
        outline.check_layers(&self.image).map_err(|error| self.fail(error))?;
        let layers: Vec<Digest> = {
            let state = self.state();
            let layers = state.expected.iter().flat_map(|image| &image.layers);
            layers.map(|layer| layer.digest.clone()).collect()
        };
        let diff_ids = outline.diff_ids();
        if layers.len() != diff_ids.len() {
            return self.content(&format!(
                "the manifest has {} layers and the configuration {}",
                layers.len(),
                diff_ids.len()
            ));
        }
        for (layer, diff_id) in layers.into_iter().zip(diff_ids) {
            if diff_id.algorithm() != Algorithm::Sha256 {
                return self
                    .unsupported(&format!("its configuration names layers by {}", diff_id.algorithm()));
            }
            let before = self.state().diff_ids.insert(layer.clone(), diff_id.clone());
            if before.is_some_and(|before| before != *diff_id) {
                return self.content(&format!("layer {layer} would have two contents by the configuration"));
            }
        }
        Ok(())
    }

    async fn put_config(&self, known: &Descriptor, content: &dyn Content) -> Result<Descriptor, Error> {
        let mut bytes = Vec::new();
        let mut pieces = content.open(0).await?;
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        self.learn(&bytes)?;
        self.blocking(move |store| store.put_blob(&bytes)).await?;
        Ok(known.clone())
    }

    async fn put_layer(&self, known: &Descriptor, content: &dyn Content) -> Result<Descriptor, Error> {
        let diff_id = self.diff_id(&known.digest)?;
        let claimed = self.state().claims.remove(&known.digest);
        let writer = match claimed {
            Some(writer) => Some(writer),
            None => self.claim(&diff_id).await?,
        };
        let Some(writer) = writer else { return Ok(known.clone()) };
        let pieces = content.open(0).await?;
        match unpack(pieces, Unpack::Detect, LIMITS, |plain| unpack_into(*writer, plain)).await? {
            Ok(warnings) => warnings.iter().for_each(|warning| self.told.warning(warning)),
            Err(error) => return Err(self.fail(error)),
        }
        Ok(known.clone())
    }
}

/// Writes a layer; the outer error is the reading's, the inner one the store's.
fn unpack_into(
    mut writer: LayerWriter,
    mut plain: Unpacked,
) -> Result<Result<Vec<String>, RunnerError>, Error> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => {
                if let Err(error) = writer.take(&buffer[..bytes]) {
                    return Ok(Err(error));
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Unpacked::fault(error)),
        }
    }
    let warnings = writer.warnings().to_vec();
    Ok(writer.finish().map(|_| warnings))
}

#[async_trait]
impl Sink for StoreSink {
    fn name(&self) -> &ImageName {
        &self.place
    }

    fn traits(&self) -> SinkTraits {
        SinkTraits {
            manifest_types: Some(MANIFEST_TYPES),
            indexes: false,
            signatures: false,
            layers: LayerForm::Preserve,
            keeps_manifest: true,
            concurrent: true,
            trust_current: true,
            unpacks: true,
        }
    }

    async fn current(&self) -> Result<Option<Descriptor>, Error> {
        let Some(name) = self.names.first().cloned() else { return Ok(None) };
        let found = self.blocking(move |store| {
            let Some(image) = store.find(&name)?.filter(|image| image.names.contains(&name)) else {
                return Ok(None);
            };
            Ok(Some(RawManifest::new(store.blob(&image.manifest)?.into(), None)))
        });
        found.await?.map(|manifest| manifest.descriptor()).transpose()
    }

    async fn expect(&self, image: &Manifest) -> Result<(), Error> {
        let Some(config) = image.config.as_ref().filter(|_| image.kind == Kind::Image) else {
            return self.unsupported("it is no image");
        };
        if !matches!(config.media_type.as_str(), MediaType::OCI_CONFIG | MediaType::DOCKER_CONFIG) {
            let what = image.artifact_type.as_ref().unwrap_or(&config.media_type);
            return self.unsupported(&format!(
                "it is an artifact of type {what} and no image: `berth-copier pull` brings its files here"
            ));
        }
        if config.size > config::MAX_BYTES {
            return self
                .content(&format!("its configuration has {} bytes, and 4 MiB are allowed", config.size));
        }
        if config.digest.algorithm() != Algorithm::Sha256 {
            return self
                .unsupported("its configuration is named by sha512, and images are known here by sha256");
        }
        if let Some(layer) =
            image.layers.iter().find(|layer| layer.media_type.as_str().ends_with("+encrypted"))
        {
            return self.unsupported(&format!(
                "layer {} is encrypted: decrypt it with `berth-copier copy --decryption-key`",
                layer.digest
            ));
        }
        self.state().expected = Some(image.clone());
        Ok(())
    }

    async fn reuse(&self, blob: &Descriptor, _mount_from: &[RepoName]) -> Result<Reuse, Error> {
        let digest = blob.digest.clone();
        if self.is_config(&digest) {
            let blob = digest.clone();
            let here = move |store: &Store| match store.blob(&blob) {
                Ok(config) => Ok(Some(config)),
                Err(RunnerError::NotFound(_)) => Ok(None),
                // What is damaged is put again.
                Err(RunnerError::Content(_)) => Ok(None),
                Err(error) => Err(error),
            };
            return match self.blocking(here).await? {
                Some(config) => self.learn(&config).map(|()| Reuse::Present),
                None => Ok(Reuse::Absent(None)),
            };
        }
        let diff_id = self.diff_id(&digest)?;
        match self.claim(&diff_id).await? {
            None => Ok(Reuse::Present),
            Some(writer) => {
                self.state().claims.insert(digest, writer);
                Ok(Reuse::Absent(None))
            }
        }
    }

    async fn put(
        &self,
        blob: &Blob,
        content: &dyn Content,
        _upload: Option<UploadHandle>,
    ) -> Result<Descriptor, Error> {
        let Some(known) = &blob.known else {
            return self.content("a blob without a digest");
        };
        match blob.part {
            Part::Config => self.put_config(known, content).await,
            Part::Layer(_) => self.put_layer(known, content).await,
            Part::Other => self.content(&format!("{} is no part of an image", known.digest)),
        }
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<(), Error> {
        if role == Role::Child {
            return self.unsupported("an index is not kept: choose one image by --platform");
        }
        let raw = manifest.raw.clone();
        let digest = self.blocking(move |store| store.put_blob(&raw)).await?;
        self.state().top = Some(digest);
        Ok(())
    }

    async fn commit(&self) -> Result<(), Error> {
        let top = self.state().top.clone();
        let Some(top) = top else { return self.content("its manifest was not put") };
        let names = self.names.clone();
        let config = self.state().expected.as_ref().and_then(|image| image.config.clone());
        let made = self.manifest_is_made;
        let add = move |store: &Store| {
            let same = |image: &Image| config.as_ref().is_some_and(|config| image.id == config.digest);
            let here = if made { store.images()?.into_iter().find(same) } else { None };
            store.add_image(here.as_ref().map_or(&top, |image| &image.manifest), &names)
        };
        let image = self.blocking(add).await?;
        self.state().added = Some(image);
        Ok(())
    }
}
