//! An archive of one image, to write: what `docker load` and `podman load` take.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, MediaType, Reference, RepoName};
use tokio::sync::Mutex;

use super::{super::claims::Claims, super::output::TarOutput, MANIFEST_FILE, REPOSITORIES_FILE, items::Item};
use crate::{
    Content, Error, ImageName, RawManifest, Result, Reuse, Role, Sink, SinkTraits, UploadHandle,
    content::{Blob, Part},
    sink::LayerForm,
};

const MANIFEST_TYPES: &[&str] = &[MediaType::DOCKER_MANIFEST];

/// The names that the image gets: in full, as Skopeo writes them.
#[derive(Debug)]
pub(crate) struct Names(Vec<Reference>);

impl Names {
    /// Takes each once, in the order given.
    pub(crate) fn new(names: impl IntoIterator<Item = Reference>) -> Self {
        let mut seen = BTreeSet::new();
        Self(names.into_iter().map(Reference::or_latest).filter(|name| seen.insert(name.clone())).collect())
    }
}

/// A docker-archive that is being written, into a file or into an engine.
#[derive(Debug)]
pub(crate) struct DockerSink {
    name: ImageName,
    output: TarOutput,
    names: Names,
    blobs: Claims,
    image: Mutex<Option<berth_oci::Manifest>>,
}

impl DockerSink {
    pub(crate) fn new(name: ImageName, output: TarOutput, names: Names) -> Self {
        Self { name, output, names, blobs: Claims::default(), image: Mutex::default() }
    }
}

/// The file of a configuration.
fn config_file(digest: &Digest) -> String {
    format!("{}.json", digest.hex())
}

/// The file of a layer.
fn layer_file(digest: &Digest) -> String {
    format!("{}.tar", digest.hex())
}

#[async_trait]
impl Sink for DockerSink {
    fn name(&self) -> &ImageName {
        &self.name
    }

    fn traits(&self) -> SinkTraits {
        SinkTraits {
            manifest_types: Some(MANIFEST_TYPES),
            indexes: false,
            signatures: false,
            layers: LayerForm::Decompress,
            keeps_manifest: false,
            concurrent: self.output.concurrent(),
            trust_current: false,
            unpacks: false,
        }
    }

    fn identity(&self) -> Option<&Reference> {
        self.name.reference()
    }

    async fn current(&self) -> Result<Option<Descriptor>> {
        Ok(None)
    }

    async fn reuse(&self, blob: &Descriptor, _mount_from: &[RepoName]) -> Result<Reuse> {
        Ok(self.blobs.reuse(blob))
    }

    async fn put(
        &self,
        blob: &Blob,
        content: &dyn Content,
        _upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        let file = if blob.part == Part::Config { config_file } else { layer_file };
        self.blobs.put(&self.output, blob, content, file).await
    }

    async fn put_manifest(&self, manifest: &RawManifest, role: Role) -> Result<()> {
        let parsed = manifest.parse()?;
        if role == Role::Child || parsed.kind != berth_oci::manifest::Kind::Image {
            return Err(Error::Unsupported(format!(
                "{}: Manifest lists are not supported for docker tar files; choose one platform",
                self.name
            )));
        }
        *self.image.lock().await = Some(parsed);
        Ok(())
    }

    async fn commit(&self) -> Result<()> {
        let image = self.image.lock().await.take().ok_or_else(|| Error::Other {
            what: self.name.to_string(),
            source: "no manifest was put".into(),
        })?;
        if let Some(missing) =
            image.config.iter().chain(&image.layers).find(|b| !self.blobs.contains(&b.digest))
        {
            return Err(Error::Integrity(format!("{}: the blob {} was not put", self.name, missing.digest)));
        }
        let item = Item {
            config: image.config.as_ref().map(|config| config_file(&config.digest)).unwrap_or_default(),
            repo_tags: Some(self.names.0.iter().map(ToString::to_string).collect()),
            layers: Some(image.layers.iter().map(|layer| layer_file(&layer.digest)).collect()),
        };
        let top = image.layers.last().map(|layer| layer.digest.hex());
        let json = |fault: serde_json::Error| Error::Other {
            what: "writing manifest.json".to_owned(),
            source: fault.into(),
        };
        self.output.member(MANIFEST_FILE, &serde_json::to_vec(&[item]).map_err(json)?).await?;
        self.output
            .member(REPOSITORIES_FILE, &serde_json::to_vec(&self.repositories(top)).map_err(json)?)
            .await?;
        self.output.finish().await
    }
}

impl DockerSink {
    /// Names by repository and tag; they point to the top layer.
    fn repositories<'a>(&self, top: Option<&'a str>) -> BTreeMap<String, BTreeMap<String, &'a str>> {
        let mut repositories: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
        for (name, top) in self.names.0.iter().filter_map(|name| Some((name, top?))) {
            let repository = format!("{}/{}", name.host(), name.name());
            let tag = name.tag().map(ToString::to_string).unwrap_or_default();
            repositories.entry(repository).or_default().insert(tag, top);
        }
        repositories
    }
}
