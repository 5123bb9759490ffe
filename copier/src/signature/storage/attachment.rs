//! Sigstore's signatures in the registry itself: an image under the tag `ALGORITHM-HEX.sig`, whose layers are the payloads
//! and whose layers' annotations are the signatures (cosign's signature specification).

use async_trait::async_trait;
use berth_oci::{Algorithm, Descriptor, Digest, Manifest, ManifestReference, MediaType, Tag, manifest::Kind};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{Budget, MAX_SIGNATURES, Signature};
use crate::{
    ByteStream, Content, Error, RawManifest, Result,
    content::{Blob, Part},
    error::ResultExt,
    remote::Repository,
};

/// Payloads that are fetched at once.
const AT_ONCE: usize = 6;

fn tag(manifest: &Digest) -> Result<Tag> {
    let text = format!("{}-{}.sig", manifest.algorithm(), manifest.hex());
    text.parse().map_err(|fault| Error::Unsupported(format!("{text}: {fault}")))
}

/// The attachments' manifest, where there is one.
async fn manifest(repository: &Repository, tag: &Tag) -> Result<Option<Manifest>> {
    let raw = match repository.manifest(&ManifestReference::Tag(tag.clone())).await {
        Ok(raw) => raw,
        Err(error) if matches!(error.root(), Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let doing = || format!("reading sigstore attachments {tag} of {}", repository.reference());
    let manifest = raw.parse().context(doing())?;
    if manifest.kind != Kind::Image || manifest.media_type.as_str() != MediaType::OCI_MANIFEST {
        let fault = format!("it is of the type {}, where an OCI image was expected", manifest.media_type);
        return Err(Error::Integrity(fault).context(doing()));
    }
    Ok(Some(manifest))
}

pub(super) async fn read(repository: &Repository, of: &Digest) -> Result<Vec<Signature>> {
    let tag = tag(of)?;
    let Some(manifest) = manifest(repository, &tag).await? else { return Ok(Vec::new()) };
    let mut budget = Budget::default();
    let place = format!("{}:{tag}", repository.reference());
    let fits = |layer: &Descriptor| budget.admit(usize::try_from(layer.size).unwrap_or(usize::MAX), &place);
    let wanted: Vec<_> = manifest.layers.into_iter().take_while(fits).collect();
    stream::iter(wanted)
        .map(|layer| async move {
            let payload = payload(repository, &layer).await?;
            Ok(Signature::Sigstore {
                media_type: layer.media_type.as_str().to_owned(),
                payload,
                annotations: layer.annotations,
            })
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// A layer's bytes, exactly as many as its descriptor says and with its digest.
async fn payload(repository: &Repository, layer: &Descriptor) -> Result<Bytes> {
    let mut pieces = repository.blob(layer).open(0).await?;
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        whole.extend_from_slice(&piece?);
        if whole.len() as u64 > layer.size {
            break;
        }
    }
    if whole.len() as u64 != layer.size || Digest::of(layer.digest.algorithm(), &whole) != layer.digest {
        return Err(Error::Integrity(format!(
            "reading signature {} of {}: the content is not what its descriptor says",
            layer.digest,
            repository.reference()
        )));
    }
    Ok(whole.into())
}

pub(super) async fn write(repository: &Repository, of: &Digest, signatures: &[&Signature]) -> Result<()> {
    let tag = tag(of)?;
    let mut layers = manifest(repository, &tag).await?.map(|manifest| manifest.layers).unwrap_or_default();
    let before = layers.len();
    for signature in signatures {
        let Signature::Sigstore { media_type, payload, annotations } = signature else { continue };
        let digest = Digest::of(Algorithm::Sha256, payload);
        let mut layer = Descriptor::new(MediaType::new(media_type), digest, payload.len() as u64);
        layer.annotations.clone_from(annotations);
        if layers.contains(&layer) {
            continue;
        }
        if layers.len() >= MAX_SIGNATURES {
            return Err(Error::Refused(format!(
                "{}:{tag} has {MAX_SIGNATURES} signatures already, the most that are read",
                repository.reference()
            )));
        }
        put(repository, &layer, payload.clone(), Part::Other).await?;
        layers.push(layer);
    }
    if layers.len() == before {
        return Ok(());
    }
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.digest).collect();
    let config = json!({
        "architecture": "",
        "config": {},
        "os": "",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = Bytes::from(config.to_string());
    let digest = Digest::of(Algorithm::Sha256, &config);
    let described = Descriptor::new(MediaType::new(MediaType::OCI_CONFIG), digest, config.len() as u64);
    put(repository, &described, config, Part::Config).await?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": described,
        "layers": layers,
    });
    let raw = RawManifest::new(manifest.to_string().into(), Some(MediaType::new(MediaType::OCI_MANIFEST)));
    repository.put_manifest(&raw, &ManifestReference::Tag(tag)).await
}

async fn put(repository: &Repository, blob: &Descriptor, content: Bytes, part: Part) -> Result<()> {
    if repository.has_blob(&blob.digest).await?.is_some() {
        return Ok(());
    }
    let known = Descriptor::new(blob.media_type.clone(), blob.digest.clone(), blob.size);
    let blob = Blob { media_type: blob.media_type.clone(), known: Some(known), part };
    repository.put_blob(&blob, &Held(content), None).await.map(drop)
}

/// Content that is in memory.
struct Held(Bytes);

#[async_trait]
impl Content for Held {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.0.len());
        Ok(stream::iter([Ok(self.0.slice(from..))]).boxed())
    }
}
