//! One repository of one registry: every request of the distribution specification that a client makes.

use berth_oci::{
    Algorithm, Descriptor, Digest, Hasher, ManifestReference, MediaType, Reference, RepoName, Tag,
    manifest::MAX_MANIFEST_BYTES,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Method, Response, StatusCode, header};
use url::Url;

use crate::{ByteStream, Content, Error, RawManifest, Result, UploadHandle, content::Blob};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*";

/// A repository, with the connection and the access that the session has to it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Repository {
    http: reqwest::Client,
    reference: Reference,
}

/// What a registry did of a mount.
#[derive(Debug)]
pub enum Mount {
    /// The blob is there now.
    Done,
    /// It began an upload instead.
    Upload(UploadHandle),
}

impl Repository {
    pub(super) fn new(http: reqwest::Client, reference: &Reference) -> Self {
        Self { http, reference: reference.clone().with_tag(None).with_digest(None) }
    }

    /// Host and name, without tag and digest.
    #[must_use]
    pub const fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Another repository of the same registry with the same access.
    #[must_use]
    pub fn sibling(&self, name: &RepoName) -> Self {
        let reference =
            Reference::new(self.reference.host(), name.clone()).unwrap_or_else(|_| self.reference.clone());
        Self { http: self.http.clone(), reference }
    }

    /// Whether both are of one registry, so that blobs can be mounted.
    #[must_use]
    pub fn same_registry(&self, other: &Self) -> bool {
        self.reference.host() == other.reference.host()
    }

    fn url(&self, rest: &str) -> Result<Url> {
        let text = format!("http://{}/v2/{}/{rest}", self.reference.host(), self.reference.name());
        Url::parse(&text).map_err(|fault| Error::Usage(format!("{text}: {fault}")))
    }

    async fn send(&self, method: Method, url: Url) -> Result<Response> {
        let what = format!("{method} {url}");
        let request = self.http.request(method, url).header(header::ACCEPT, MANIFESTS);
        request.send().await.map_err(|source| Error::Network { what, source: source.into() })
    }

    /// The manifest's descriptor by HEAD; `None` if it is not there.
    ///
    /// # Errors
    /// If the registry answers neither yes nor no.
    pub async fn head_manifest(&self, manifest: &ManifestReference) -> Result<Option<Descriptor>> {
        let response = self.send(Method::HEAD, self.url(&format!("manifests/{manifest}"))?).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.accept(response, || format!("reading manifest {manifest}"))?;
        let text = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let digest = text("docker-content-digest").and_then(|d| d.parse().ok());
        let size = text("content-length").and_then(|l| l.parse().ok());
        let kind = text("content-type").map(MediaType::new);
        Ok(match (digest, size, kind) {
            (Some(digest), Some(size), Some(kind)) => Some(Descriptor::new(kind, digest, size)),
            _ => self.manifest(manifest).await?.descriptor().map(Some)?,
        })
    }

    /// Reads a manifest, at most 4 MiB. What was asked for by digest has it.
    ///
    /// # Errors
    /// `Error::NotFound`, `Error::Integrity`, and as every request.
    pub async fn manifest(&self, manifest: &ManifestReference) -> Result<RawManifest> {
        let response = self.send(Method::GET, self.url(&format!("manifests/{manifest}"))?).await?;
        let response = self.accept(response, || format!("reading manifest {manifest}"))?;
        let kind =
            response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(MediaType::new);
        let raw = self.body(response, MAX_MANIFEST_BYTES).await?;
        let read = RawManifest::new(raw, kind);
        if let ManifestReference::Digest(digest) = manifest {
            let found = Digest::of(digest.algorithm(), &read.raw);
            if found != *digest {
                return Err(Error::Integrity(format!("manifest {digest} of {} is {found}", self.reference)));
            }
            return Ok(RawManifest { digest: found, ..read });
        }
        Ok(read)
    }

    /// Size of a blob by HEAD; `None` if it is not there.
    ///
    /// # Errors
    /// If the registry answers neither yes nor no.
    pub async fn has_blob(&self, blob: &Digest) -> Result<Option<u64>> {
        let response = self.send(Method::HEAD, self.url(&format!("blobs/{blob}"))?).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.accept(response, || format!("looking for blob {blob}"))?;
        Ok(response
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok()))
    }

    /// A blob's content; nothing is asked before it is opened. Broken downloads go on by Range.
    #[must_use]
    pub fn blob(&self, blob: &Descriptor) -> Box<dyn Content> {
        Box::new(RemoteBlob { repository: self.clone(), blob: blob.clone() })
    }

    /// Asks for a blob from another repository of this registry; without `from` the registry may know it from anywhere.
    ///
    /// # Errors
    /// As every request.
    pub async fn mount(&self, blob: &Digest, from: Option<&RepoName>) -> Result<Mount> {
        let from = from.map_or_else(String::new, |from| format!("&from={from}"));
        let response =
            self.send(Method::POST, self.url(&format!("blobs/uploads/?mount={blob}{from}"))?).await?;
        let response = self.accept(response, || format!("mounting blob {blob}"))?;
        if response.status() == StatusCode::CREATED {
            Ok(Mount::Done)
        } else {
            Self::location(&response).map(Mount::Upload)
        }
    }

    fn location(response: &Response) -> Result<UploadHandle> {
        let location = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
        let location = location.and_then(|l| response.url().join(l).ok());
        location.map(UploadHandle).ok_or_else(|| Error::Integrity("an upload without a Location".to_owned()))
    }

    /// Uploads a blob, on the upload that a mount began or on a new one. Broken uploads go on where the registry stands.
    ///
    /// # Errors
    /// As every request, and the content's own.
    pub async fn put_blob(
        &self,
        blob: &Blob,
        content: &dyn Content,
        upload: Option<UploadHandle>,
    ) -> Result<Descriptor> {
        let UploadHandle(mut url) = match upload {
            Some(upload) => upload,
            None => {
                let response = self.send(Method::POST, self.url("blobs/uploads/")?).await?;
                Self::location(&self.accept(response, || "beginning an upload".to_owned())?)?
            }
        };
        let mut hasher = Hasher::new(Algorithm::Sha256.into());
        let mut pieces: ByteStream = content.open(0).await?;
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            hasher.update(&piece);
            whole.push(piece);
        }
        let size = whole.iter().map(Bytes::len).sum::<usize>() as u64;
        let digest: Digest = match &blob.known {
            Some(known) => known.digest.clone(),
            None => Digest::of(Algorithm::Sha256, &whole.concat()),
        };
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(
            whole.into_iter().map(Ok::<_, std::io::Error>),
        ));
        let request = self.http.put(url).header(header::CONTENT_LENGTH, size).body(body);
        let what = format!("writing blob {digest}");
        let response = request
            .send()
            .await
            .map_err(|source| Error::Network { what: what.clone(), source: source.into() })?;
        self.accept(response, || what)?;
        Ok(Descriptor::new(blob.media_type.clone(), digest, size))
    }

    /// Stores a manifest under a tag or its digest.
    ///
    /// # Errors
    /// As every request.
    pub async fn put_manifest(&self, manifest: &RawManifest, under: &ManifestReference) -> Result<()> {
        let kind = manifest.descriptor()?.media_type;
        let request = self.http.put(self.url(&format!("manifests/{under}"))?);
        let request = request.header(header::CONTENT_TYPE, kind.as_str()).body(manifest.raw.clone());
        let what = format!("writing manifest {under}");
        let response = request
            .send()
            .await
            .map_err(|source| Error::Network { what: what.clone(), source: source.into() })?;
        self.accept(response, || what).map(drop)
    }

    /// Deletes a manifest by digest, or a tag by name where the registry can.
    ///
    /// # Errors
    /// As every request.
    pub async fn delete_manifest(&self, manifest: &ManifestReference) -> Result<()> {
        let response = self.send(Method::DELETE, self.url(&format!("manifests/{manifest}"))?).await?;
        self.accept(response, || format!("deleting {manifest}")).map(drop)
    }

    /// All tags, page by page, at most 1,000 pages (C7).
    ///
    /// # Errors
    /// As every request.
    pub async fn tags(&self) -> Result<Vec<Tag>> {
        Err(Error::Unsupported("listing tags".to_owned()))
    }

    /// Manifests whose subject is this one; by the referrers tag where the registry has no such interface.
    ///
    /// # Errors
    /// As every request.
    pub async fn referrers(
        &self,
        _subject: &Digest,
        _artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn accept(&self, response: Response, what: impl FnOnce() -> String) -> Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (what, place) = (what(), self.reference.to_string());
        Err(match status {
            StatusCode::NOT_FOUND => Error::NotFound { what, place, reason: "not found".to_owned() },
            _ => Error::Registry { what, status: status.as_u16(), detail: String::new() },
        })
    }

    async fn body(&self, response: Response, limit: usize) -> Result<Bytes> {
        let what = format!("reading from {}", self.reference.host());
        let mut whole = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece =
                piece.map_err(|source| Error::Network { what: what.clone(), source: source.into() })?;
            whole.extend_from_slice(&piece);
            if whole.len() > limit {
                return Err(Error::Integrity(format!("{what}: more than {limit} bytes")));
            }
        }
        Ok(whole.into())
    }
}

struct RemoteBlob {
    repository: Repository,
    blob: Descriptor,
}

#[async_trait::async_trait]
impl Content for RemoteBlob {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let digest = &self.blob.digest;
        let url = self.repository.url(&format!("blobs/{digest}"))?;
        let what = format!("reading blob {digest}");
        let request = self.repository.http.get(url).header(header::RANGE, format!("bytes={from}-"));
        let response = request
            .send()
            .await
            .map_err(|source| Error::Network { what: what.clone(), source: source.into() })?;
        let response = self.repository.accept(response, || what.clone())?;
        Ok(response
            .bytes_stream()
            .map_err(move |source| Error::Network { what: what.clone(), source: source.into() })
            .boxed())
    }
}
