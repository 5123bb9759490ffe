//! Pushing, as the cases of every area do it.

use std::ops::Range;

use berth_oci::{Algorithm, MediaType};
use bytes::Bytes;
use reqwest::Url;

use crate::{
    case::{Stop, Verdict, ensure, fail},
    data::{Blob, Builder, Manifest},
    http::{Answer, Cx, range_end},
};

/// The ways to push a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadPath {
    /// One POST with `?digest=` (end-4b).
    Post,
    /// POST, then PUT of everything (end-4a, end-6).
    PostPut,
    /// POST, PATCHes with Content-Range, PUT of nothing (end-5).
    Chunked,
    /// The same, the last chunk in the PUT.
    ChunkedPut,
    /// POST, one PATCH of unknown length without Content-Range, PUT of nothing.
    Streamed,
}

impl UploadPath {
    pub(crate) const ALL: [Self; 5] =
        [Self::Post, Self::PostPut, Self::Chunked, Self::ChunkedPut, Self::Streamed];

    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::PostPut => "post-put",
            Self::Chunked => "chunked",
            Self::ChunkedPut => "chunked-put",
            Self::Streamed => "streamed",
        }
    }

    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::Post => "one POST",
            Self::PostPut => "POST and PUT",
            Self::Chunked => "chunks",
            Self::ChunkedPut => "chunks, the last in the PUT",
            Self::Streamed => "a streamed PATCH",
        }
    }
}

pub(crate) fn uploads(repo: &str) -> String {
    format!("/v2/{repo}/blobs/uploads/")
}

pub(crate) fn blob_at(repo: &str, digest: &(impl AsRef<str> + ?Sized)) -> String {
    format!("/v2/{repo}/blobs/{}", digest.as_ref())
}

pub(crate) fn manifest_at(repo: &str, reference: &(impl AsRef<str> + ?Sized)) -> String {
    format!("/v2/{repo}/manifests/{}", reference.as_ref())
}

/// A session: where its next request goes, and the smallest chunk that it takes.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) at: Url,
    pub(crate) min_chunk: usize,
}

impl Session {
    /// Opens one in `repo`.
    pub(crate) async fn open(cx: &Cx, repo: &str) -> Result<Self, Stop> {
        let answer = cx.post(uploads(repo))?.send().await?;
        let at = answer.expect(&[202])?.location()?;
        let min_chunk = match answer.header("oci-chunk-min-length") {
            None => 1,
            Some(text) => match text.parse::<usize>() {
                Ok(length) if length > 0 => length,
                _ => return fail(format!("OCI-Chunk-Min-Length {text:?} is no length")),
            },
        };
        Ok(Self { at, min_chunk })
    }

    /// Sends a chunk with Content-Range and does not judge the answer.
    pub(crate) async fn try_patch(
        &self,
        cx: &Cx,
        bytes: &Bytes,
        range: Range<usize>,
    ) -> Result<Answer, Stop> {
        let content_range = format!("{}-{}", range.start, range.end - 1);
        cx.patch(&self.at)?
            .header("content-type", "application/octet-stream")
            .header("content-range", content_range)
            .body(bytes.slice(range))
            .send()
            .await
    }

    /// Sends a chunk; judges status, Location and Range; moves on.
    pub(crate) async fn patch(&mut self, cx: &Cx, bytes: &Bytes, range: Range<usize>) -> Verdict {
        let end = range.end;
        let answer = self.try_patch(cx, bytes, range).await?;
        self.accepted(&answer, end)
    }

    /// Sends everything without saying how much it is; judges; moves on.
    pub(crate) async fn stream(&mut self, cx: &Cx, bytes: &Bytes) -> Verdict {
        let answer = cx
            .patch(&self.at)?
            .header("content-type", "application/octet-stream")
            .streamed(bytes, 1000)
            .send()
            .await?;
        self.accepted(&answer, bytes.len())
    }

    fn accepted(&mut self, answer: &Answer, end: usize) -> Verdict {
        answer.expect(&[202])?;
        if end > 0 {
            has_range(answer, end)?;
        }
        self.at = answer.location()?;
        Ok(())
    }

    /// The URL that ends the session with this digest.
    pub(crate) fn finish_at(&self, digest: &(impl AsRef<str> + ?Sized)) -> Url {
        let mut at = self.at.clone();
        at.query_pairs_mut().append_pair("digest", digest.as_ref());
        at
    }

    /// Ends the session with a PUT of `rest`, and does not judge the answer.
    pub(crate) async fn put(
        &self,
        cx: &Cx,
        digest: &(impl AsRef<str> + ?Sized),
        rest: Bytes,
    ) -> Result<Answer, Stop> {
        let call = cx.put(self.finish_at(digest))?.header("content-type", "application/octet-stream");
        call.body(rest).send().await
    }

    /// Asks how far the session has come: `GET` is 204 and `Range: 0-N`.
    pub(crate) async fn status(&self, cx: &Cx) -> Result<Answer, Stop> {
        cx.get(&self.at)?.send().await
    }

    /// Chunks of `length` bytes: three, unless the registry wants larger ones.
    pub(crate) fn chunks(&self, length: usize) -> Vec<Range<usize>> {
        let size = (length / 3 + 1).max(self.min_chunk);
        (0..length).step_by(size).map(|start| start..(start + size).min(length)).collect()
    }
}

/// Fails unless the answer says `Range: 0-N` for `length` bytes.
pub(crate) fn has_range(answer: &Answer, length: usize) -> Verdict {
    let text = answer.require("range")?;
    let due = i64::try_from(length).unwrap_or(i64::MAX) - 1;
    ensure(range_end(text) == Some(due), || format!("Range is {text:?} where \"0-{due}\" is due"))
}

/// Pushes a blob and gives the last answer, which is not judged.
pub(crate) async fn try_push(cx: &Cx, repo: &str, path: UploadPath, blob: &Blob) -> Result<Answer, Stop> {
    if path == UploadPath::Post {
        let answer = cx
            .post(uploads(repo))?
            .query("digest", blob.digest.as_str())
            .header("content-type", "application/octet-stream")
            .body(blob.bytes.clone())
            .send()
            .await?;
        if answer.status == 202 {
            return Err(Stop::Skip(
                "a POST with a digest is answered 202: the registry wants POST and PUT".into(),
            ));
        }
        return Ok(answer);
    }
    let mut session = Session::open(cx, repo).await?;
    let whole = &blob.bytes;
    match path {
        UploadPath::Post | UploadPath::PostPut => session.put(cx, &blob.digest, whole.clone()).await,
        UploadPath::Streamed => {
            session.stream(cx, whole).await?;
            session.put(cx, &blob.digest, Bytes::new()).await
        }
        UploadPath::Chunked => {
            for chunk in session.chunks(whole.len()) {
                session.patch(cx, whole, chunk).await?;
            }
            session.put(cx, &blob.digest, Bytes::new()).await
        }
        UploadPath::ChunkedPut => {
            let mut chunks = session.chunks(whole.len());
            let last = chunks.pop().unwrap_or(0..0);
            for chunk in chunks {
                session.patch(cx, whole, chunk).await?;
            }
            let call =
                cx.put(session.finish_at(&blob.digest))?.header("content-type", "application/octet-stream");
            let call = if last.is_empty() {
                call
            } else {
                call.header("content-range", format!("{}-{}", last.start, last.end - 1))
            };
            call.body(whole.slice(last)).send().await
        }
    }
}

/// Fails unless the answer says that the blob is there, and where, and it is.
pub(crate) async fn is_stored(cx: &Cx, answer: &Answer, blob: &Blob) -> Verdict {
    let at = answer.expect(&[201])?.location()?;
    answer.header_is_or_absent("docker-content-digest", blob.digest.as_str())?;
    let there = cx.get(at)?.send().await?;
    there.expect(&[200])?.body_is(&blob.bytes)
}

/// Pushes a blob and judges everything about it.
pub(crate) async fn push(cx: &Cx, repo: &str, path: UploadPath, blob: &Blob) -> Verdict {
    let answer = try_push(cx, repo, path, blob).await?;
    is_stored(cx, &answer, blob).await
}

/// Pushes random bytes on the shortest way that every registry knows.
pub(crate) async fn given_blob(
    cx: &Cx,
    repo: &str,
    algorithm: Algorithm,
    length: usize,
) -> Result<Blob, Stop> {
    let blob = Blob::random(algorithm, length);
    let answer = try_push(cx, repo, UploadPath::PostPut, &blob).await?;
    answer.expect(&[201])?;
    Ok(blob)
}

/// Puts a manifest under a tag or digest, and does not judge the answer.
pub(crate) async fn put_manifest(
    cx: &Cx,
    repo: &str,
    reference: &(impl AsRef<str> + ?Sized),
    manifest: &Manifest,
) -> Result<Answer, Stop> {
    let call = cx.put(manifest_at(repo, reference))?.header("content-type", &manifest.media_type);
    call.body(manifest.bytes.clone()).send().await
}

/// A small image, pushed under `reference` (its digest, where that is none); its blobs are there.
pub(crate) async fn given_image(
    cx: &Cx,
    repo: &str,
    algorithm: Algorithm,
    reference: Option<&str>,
) -> Result<Manifest, Stop> {
    let manifest = unpushed_image(cx, repo, algorithm, |_| ()).await?;
    let reference = reference.unwrap_or(manifest.digest.as_str());
    put_manifest(cx, repo, reference, &manifest).await?.expect(&[201])?;
    Ok(manifest)
}

/// A small image whose blobs are pushed and whose manifest, changed by `change`, is not.
pub(crate) async fn unpushed_image(
    cx: &Cx,
    repo: &str,
    algorithm: Algorithm,
    change: impl FnOnce(&mut serde_json::Value),
) -> Result<Manifest, Stop> {
    let mut builder = Builder::new(algorithm);
    let config = builder.random_blob(MediaType::OCI_CONFIG, 64);
    let layer = builder.random_blob(MediaType::OCI_LAYER_GZIP, 128);
    let mut body = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [layer],
    });
    change(&mut body);
    builder.manifest(&body);
    let mut set = builder.finish();
    for blob in &set.blobs {
        try_push(cx, repo, UploadPath::PostPut, blob).await?.expect(&[201])?;
    }
    set.manifests.pop().ok_or_else(|| Stop::Fail("the builder made no manifest".to_owned()))
}
