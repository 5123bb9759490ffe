//! A client that pushes by a given way and tells apart a refusal from an answer that never came.

use std::{
    io,
    time::{Duration, Instant},
};

use berth_oci::{Algorithm, MediaType};
use bytes::Bytes;
use futures_util::Stream;
use reqwest::{Body, Method, Response, StatusCode, header};

use super::{FaultError, Result};
use crate::data::Blob;

const LIMIT: Duration = Duration::from_secs(60);

/// The four ways to push a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One POST with `?digest=`.
    Post,
    /// POST, then PUT of everything.
    PostPut,
    /// POST, PATCHes with Content-Range, PUT of nothing.
    Chunked,
    /// POST, one PATCH of unknown length, PUT of nothing.
    Streamed,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Post, Self::PostPut, Self::Chunked, Self::Streamed];
}

/// How a push ended, where it was answered.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Status of the last answer: of the first refusal, or of the end.
    pub status: u16,
    /// The session, where there was one.
    pub session: Option<String>,
}

impl Pushed {
    /// Whether the blob was acknowledged.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.status == 201
    }
}

/// How a request was answered.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The status.
    pub status: u16,
    /// Whether it says when to come again.
    pub retry_after: bool,
    /// Until the answer's head.
    pub took: Duration,
}

/// One registry, by URL.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// A registry at `base`, `http://host:port`. Each client has connections of its own.
    pub fn new(base: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build()?;
        Ok(Self { base: base.to_owned(), http })
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> Result<(u16, Bytes)> {
        let answer = self.http.get(self.url(path)).header(header::ACCEPT, "*/*").send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?))
    }

    /// Status of a HEAD.
    pub async fn head(&self, path: &str) -> Result<u16> {
        Ok(self.http.head(self.url(path)).header(header::ACCEPT, "*/*").send().await?.status().as_u16())
    }

    /// Status of a session, and the bytes that it says it has. `0-0` stands for none: nothing here sends one byte.
    pub async fn session(&self, location: &str) -> Result<(u16, u64)> {
        let answer = self.http.get(self.url(location)).send().await?;
        let range = answer.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
        let last = range.and_then(|range| range.split_once('-')?.1.parse::<u64>().ok());
        Ok((answer.status().as_u16(), last.filter(|last| *last > 0).map_or(0, |last| last + 1)))
    }

    /// Starts a session. Its location, as a path; `Err` holds the status of a refusal.
    pub async fn start(&self, repo: &str) -> Result<std::result::Result<String, u16>> {
        let answer = self.http.post(self.url(&format!("/v2/{repo}/blobs/uploads/"))).send().await?;
        if answer.status() == StatusCode::ACCEPTED {
            return Ok(Ok(self.location(&answer)?));
        }
        Ok(Err(answer.status().as_u16()))
    }

    /// Sends a chunk, with its range. The status.
    pub async fn patch(&self, location: &str, first: usize, bytes: Bytes) -> Result<u16> {
        let range = format!("{first}-{}", (first + bytes.len()).saturating_sub(1));
        let request = self.http.patch(self.url(location)).header(header::CONTENT_RANGE, range);
        Ok(request.body(bytes).send().await?.status().as_u16())
    }

    /// Sends a body of a length that is not announced. The status.
    pub async fn stream(
        &self,
        location: &str,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<u16> {
        let request = self.http.patch(self.url(location)).body(Body::wrap_stream(pieces));
        Ok(request.send().await?.status().as_u16())
    }

    /// Ends a session with `bytes` more. The status.
    pub async fn finish(&self, location: &str, digest: &str, bytes: Bytes) -> Result<u16> {
        let separator = if location.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}digest={digest}", self.url(location));
        Ok(self.http.put(url).body(bytes).send().await?.status().as_u16())
    }

    /// One POST with everything in it. The status.
    pub async fn post(&self, repo: &str, digest: &str, body: impl Into<Body>) -> Result<u16> {
        let url = self.url(&format!("/v2/{repo}/blobs/uploads/?digest={digest}"));
        Ok(self.http.post(url).body(body).send().await?.status().as_u16())
    }

    /// Pushes a blob. `last` is called before the request that ends it is sent: until then the registry cannot know
    /// the blob's digest.
    pub async fn push(
        &self,
        repo: &str,
        blob: &Blob,
        way: Way,
        last: impl FnOnce() -> Result<()>,
    ) -> Result<Pushed> {
        let digest = blob.digest.as_str();
        if way == Way::Post {
            last()?;
            let status = self.post(repo, digest, blob.bytes.clone()).await?;
            return Ok(Pushed { status, session: None });
        }
        let location = match self.start(repo).await? {
            Ok(location) => location,
            Err(status) => return Ok(Pushed { status, session: None }),
        };
        let half = blob.bytes.len() / 2;
        let (first, second) = (blob.bytes.slice(..half), blob.bytes.slice(half..));
        let mut rest = Bytes::new();
        let mut status = 202;
        match way {
            Way::Post | Way::PostPut => rest = blob.bytes.clone(),
            Way::Chunked => {
                if !first.is_empty() {
                    status = self.patch(&location, 0, first).await?;
                }
                if status == 202 {
                    status = self.patch(&location, half, second).await?;
                }
            }
            Way::Streamed => {
                let pieces = [Ok(first), Ok(second)];
                status = self.stream(&location, futures_util::stream::iter(pieces)).await?;
            }
        }
        if status == 202 {
            last()?;
            status = self.finish(&location, digest, rest).await?;
        }
        Ok(Pushed { status, session: Some(location) })
    }

    /// Status of a DELETE.
    pub async fn delete(&self, path: &str) -> Result<u16> {
        Ok(self.http.delete(self.url(path)).send().await?.status().as_u16())
    }

    /// The answer to a GET, its body still to be read.
    pub async fn open(&self, path: &str) -> Result<Response> {
        Ok(self.http.get(self.url(path)).send().await?.error_for_status()?)
    }

    /// Runs a collection to its end. Its report; null when another was going on.
    pub async fn collect(&self) -> Result<serde_json::Value> {
        let request = self.http.post(self.url("/api/v1/gc")).header(header::CONTENT_TYPE, "application/json");
        let answer = request.body("{}").send().await?;
        if answer.status() == StatusCode::CONFLICT {
            return Ok(serde_json::Value::Null);
        }
        Ok(super::collection::report(&answer.error_for_status()?.bytes().await?))
    }

    /// Pushes a manifest. The status.
    pub async fn put_manifest(&self, repo: &str, reference: &str, bytes: Bytes) -> Result<u16> {
        let request = self.http.put(self.url(&format!("/v2/{repo}/manifests/{reference}")));
        let request = request.header(header::CONTENT_TYPE, MediaType::OCI_MANIFEST);
        Ok(request.body(bytes).send().await?.status().as_u16())
    }

    /// Any request: its status, whether `Retry-After` came with it, and how long it took.
    pub async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Asked> {
        let begun = Instant::now();
        let request = self.http.request(method, self.url(path)).header(header::ACCEPT, "*/*");
        let request = request.header(header::CONTENT_TYPE, MediaType::OCI_MANIFEST).body(body);
        let answer = request.send().await?;
        let retry_after = answer.headers().contains_key(header::RETRY_AFTER);
        Ok(Asked { status: answer.status().as_u16(), retry_after, took: begun.elapsed() })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn location(&self, answer: &Response) -> Result<String> {
        let location = answer.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
        let location = location.ok_or_else(|| FaultError::broken("a session", "202 without a Location"))?;
        Ok(location.strip_prefix(&self.base).unwrap_or(location).to_owned())
    }
}

/// A blob of `length` random bytes.
pub(super) fn random_blob(length: usize) -> Blob {
    Blob::random(Algorithm::Sha256, length)
}
