//! Manifests: read, written, deleted (distribution-spec, "Pulling manifests", "Pushing Manifests", "Content Management").

use berth_oci::{Descriptor, Digest, ManifestReference, MediaType, manifest::MAX_MANIFEST_BYTES};
use http::{HeaderValue, header};
use reqwest::{Method, StatusCode};

use super::{
    Repository,
    answer::{Answer, Doing},
    payload::Payload,
    registry::{Ask, Lane},
    repository::{Access, NO_MANIFEST, Place},
};
use crate::{Error, RawManifest, Result};

const TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*";

impl Repository {
    /// The manifest's descriptor by HEAD; `None` if it is not there.
    ///
    /// # Errors
    /// If the registry answers neither yes nor no.
    pub async fn head_manifest(&self, manifest: &ManifestReference) -> Result<Option<Descriptor>> {
        let found = self.anywhere(is_digest(manifest), |place| self.head_at(place, manifest)).await;
        match found {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(error) if matches!(error.root(), Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn head_at(&self, place: &Place, manifest: &ManifestReference) -> Result<Descriptor> {
        let what = format!("reading manifest {manifest}");
        let answer = self.ask_manifest(place, manifest, Method::HEAD, &what).await?;
        if matches!(answer.status(), StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) {
            return self.manifest_at(place, manifest).await?.descriptor();
        }
        let answer = place.accept(answer, &what, NO_MANIFEST).await?;
        let digest: Option<Digest> = answer.header("docker-content-digest").and_then(|d| d.parse().ok());
        let size = answer.number("content-length");
        let kind = media_type(&answer);
        answer.finish().await;
        // By digest the answer is known already; a server that says another has something else there.
        if let (ManifestReference::Digest(asked), Some(said)) = (manifest, &digest)
            && asked.algorithm() == said.algorithm()
            && asked != said
        {
            return Err(Error::Integrity(format!("manifest {asked} of {} is {said}", place.place())));
        }
        let digest = match manifest {
            ManifestReference::Digest(asked) => Some(asked.clone()),
            ManifestReference::Tag(_) => digest,
        };
        match (digest, size, kind) {
            (Some(digest), Some(size), Some(kind)) => Ok(Descriptor::new(kind, digest, size)),
            _ => self.manifest_at(place, manifest).await?.descriptor(),
        }
    }

    /// Reads a manifest, at most 4 MiB. What was asked for by digest has it.
    ///
    /// # Errors
    /// `Error::NotFound`, `Error::Integrity`, and as every request.
    pub async fn manifest(&self, manifest: &ManifestReference) -> Result<RawManifest> {
        self.anywhere(is_digest(manifest), |place| self.manifest_at(place, manifest)).await
    }

    async fn manifest_at(&self, place: &Place, manifest: &ManifestReference) -> Result<RawManifest> {
        let what = format!("reading manifest {manifest}");
        let answer = self.ask_manifest(place, manifest, Method::GET, &what).await?;
        let answer = place.accept(answer, &what, NO_MANIFEST).await?;
        let kind = media_type(&answer);
        let said: Option<Digest> = answer.header("docker-content-digest").and_then(|d| d.parse().ok());
        let raw = answer.bytes(MAX_MANIFEST_BYTES, &format!("{what} in {}", place.place())).await?;
        let expected = match manifest {
            ManifestReference::Digest(asked) => Some(asked.clone()),
            ManifestReference::Tag(_) => said,
        };
        let Some(expected) = expected else { return Ok(RawManifest::new(raw, kind)) };
        let found = Digest::of(expected.algorithm(), &raw);
        if found != expected {
            let place = place.place();
            return Err(Error::Integrity(format!(
                "manifest {manifest} of {place} should be {expected} and is {found}"
            )));
        }
        Ok(RawManifest { raw, media_type: kind, digest: found })
    }

    async fn ask_manifest(
        &self,
        place: &Place,
        manifest: &ManifestReference,
        method: Method,
        what: &str,
    ) -> Result<Answer> {
        let mut ask = Ask::bare(method, place.path(&format!("manifests/{manifest}")), what, Lane::Brief);
        ask.headers.insert(header::ACCEPT, HeaderValue::from_static(TYPES));
        place.send(&ask, self.access(), None).await
    }

    /// Stores a manifest under a tag or its digest. Where the manifest has a subject and the registry keeps no list of
    /// referrers, the list under the subject's referrers tag is brought up to date.
    ///
    /// # Errors
    /// As every request.
    pub async fn put_manifest(&self, manifest: &RawManifest, under: &ManifestReference) -> Result<()> {
        let place = self.primary();
        let parsed = manifest.parse()?;
        let what = format!("uploading manifest {under}");
        let kind = HeaderValue::from_str(parsed.media_type.as_str())
            .map_err(|_| Error::Usage(format!("the manifest's type {} is no type", parsed.media_type)))?;
        let mut ask = Ask::bare(Method::PUT, place.path(&format!("manifests/{under}")), &what, Lane::Brief);
        ask.headers.insert(header::CONTENT_TYPE, kind);
        ask.payload = Payload::Bytes(manifest.raw.clone());
        let answer = place.send(&ask, Access::Push, None).await?;
        if answer.status().is_client_error() {
            // It may miss a blob that was there before: nothing is taken for granted the next time.
            self.shared().known.forget_all(self.reference().host(), self.reference().name());
        }
        let answer = place.accept(answer, &what, "repository name not known to registry").await?;
        let has_list = answer.header("oci-subject").is_some();
        let said: Option<Digest> = answer.header("docker-content-digest").and_then(|d| d.parse().ok());
        answer.finish().await;
        if let Some(said) = said {
            let own = Digest::of(said.algorithm(), &manifest.raw);
            if said != own {
                let place = place.place();
                return Err(Error::Integrity(format!("{place} stored manifest {own} as {said}")));
            }
        }
        match &parsed.subject {
            Some(subject) if !has_list => {
                self.note_referrer(&subject.digest, &parsed, &manifest.digest).await
            }
            _ => Ok(()),
        }
    }

    /// Deletes a manifest by digest, or a tag by name where the registry can.
    ///
    /// # Errors
    /// `Error::Unsupported` where the registry cannot, and as every request.
    pub async fn delete_manifest(&self, manifest: &ManifestReference) -> Result<()> {
        let place = self.primary();
        let what = format!("deleting {manifest}");
        let target = place.path(&format!("manifests/{manifest}"));
        // Made again after an answer that got lost, it would say that there is no such manifest.
        let ask = Ask { repeat: false, ..Ask::bare(Method::DELETE, target, &what, Lane::Brief) };
        let answer = place.send(&ask, Access::Delete, None).await?;
        let status = answer.status();
        if status.is_success() {
            answer.finish().await;
            return Ok(());
        }
        let host = place.reference.host();
        let cannot = match manifest {
            ManifestReference::Digest(_) => format!(
                "{host} does not delete manifests; its administrator has to allow it (REGISTRY_STORAGE_DELETE_ENABLED \
                 for docker-registry)"
            ),
            ManifestReference::Tag(tag) => format!(
                "{host} does not delete tags alone; delete the manifest that {tag} means, which takes every tag of it \
                 along"
            ),
        };
        let place = place.place();
        let fault = answer.fault(Doing { what: &what, place: &place, absent: NO_MANIFEST }).await;
        let unsupported = match fault.root() {
            Error::Registry { status: 405, .. } => true,
            // docker-registry reads every name behind /manifests/ as a digest here.
            Error::Registry { status: 400, detail, .. } => {
                matches!(manifest, ManifestReference::Tag(_))
                    && ["unsupported", "digest invalid", "provided digest"]
                        .iter()
                        .any(|word| detail.contains(word))
            }
            Error::Registry { detail, .. } => detail.starts_with("unsupported"),
            _ => false,
        };
        Err(if unsupported { Error::Unsupported(format!("{what} in {place}: {cannot}")) } else { fault })
    }
}

fn is_digest(manifest: &ManifestReference) -> bool {
    matches!(manifest, ManifestReference::Digest(_))
}

fn media_type(answer: &Answer) -> Option<MediaType> {
    let text = answer.header("content-type")?;
    // What a server sends that does not know better says nothing.
    let kind = text.split(';').next().unwrap_or(text).trim();
    let vague =
        ["", "application/octet-stream", "text/plain", "application/json", "text/html"].contains(&kind);
    (!vague).then(|| MediaType::new(kind))
}
