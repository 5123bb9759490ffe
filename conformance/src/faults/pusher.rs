//! Pushes small images and writes down what it was told.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use berth_oci::{Algorithm, MediaType};
use bytes::Bytes;
use serde_json::json;

use super::{
    Client, Journal, Result,
    client::{Way, random_blob},
};
use crate::data::{Blob, digest_of};

/// Largest blob.
const LARGEST: f64 = (2 << 20) as f64;
const TAGS: usize = 3;

/// What a pusher likes to push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taste {
    /// Blobs of 1 B to 2 MiB, small ones more often, and now and then a push that is never ended.
    Anything,
    /// Whole images of small blobs only, each by the next way.
    Scripted,
}

/// Pushes to one repository; nobody else pushes there.
#[derive(Debug)]
pub struct Pusher {
    client: Client,
    journal: Arc<Journal>,
    repo: String,
    taste: Taste,
    images: AtomicUsize,
}

impl Pusher {
    /// Pushes to `repo` through `client`.
    #[must_use]
    pub fn new(client: Client, journal: Arc<Journal>, repo: impl Into<String>, taste: Taste) -> Self {
        Self { client, journal, repo: repo.into(), taste, images: AtomicUsize::new(0) }
    }

    /// Pushes one image, and now and then something that must never be seen. Errors are answers that never came;
    /// refusals are written down.
    pub async fn image(&self) -> Result<()> {
        let number = self.images.fetch_add(1, Ordering::Relaxed);
        if self.taste == Taste::Anything {
            match rand::random_range(0..8) {
                0 => self.left_open().await?,
                1 => self.wrong_digest().await?,
                2 => self.missing_child(number).await?,
                _ => {}
            }
        }
        let count = match self.taste {
            Taste::Anything => rand::random_range(1..=3),
            Taste::Scripted => Way::ALL.len(),
        };
        let mut blobs = Vec::new();
        for at in 0..count {
            let way = match self.taste {
                Taste::Anything => Way::ALL[rand::random_range(0..Way::ALL.len())],
                Taste::Scripted => Way::ALL[at],
            };
            let blob = random_blob(self.size());
            if !self.blob(&blob, way).await? {
                return Ok(());
            }
            blobs.push(blob);
        }
        let tag = if number % 4 == 3 { None } else { Some(format!("t{}", number % TAGS)) };
        self.manifest(&blobs, tag.as_deref()).await?;
        Ok(())
    }

    /// Pushes a blob; whether it was acknowledged.
    pub async fn blob(&self, blob: &Blob, way: Way) -> Result<bool> {
        let digest = blob.digest.as_str();
        let sent = || self.journal.note(&["sent", "blob", &self.repo, digest]);
        let pushed = self.client.push(&self.repo, blob, way, sent).await?;
        if pushed.is_acknowledged() {
            self.journal.record(&["acked", "blob", &self.repo, digest])?;
        } else {
            self.refused(&format!("{way:?}"), pushed.status)?;
        }
        Ok(pushed.is_acknowledged())
    }

    /// Pushes a manifest of these blobs, by tag or by its digest; whether it was acknowledged.
    pub async fn manifest(&self, blobs: &[Blob], tag: Option<&str>) -> Result<bool> {
        let bytes = manifest_of(blobs);
        let digest = digest_of(Algorithm::Sha256, &bytes).to_string();
        let (reference, tag) = (tag.unwrap_or(&digest), tag.unwrap_or("-"));
        self.journal.note(&["sent", "manifest", &self.repo, &digest, tag])?;
        let status = self.client.put_manifest(&self.repo, reference, bytes).await?;
        if status == 201 {
            self.journal.record(&["acked", "manifest", &self.repo, &digest, tag])?;
        } else {
            self.refused("manifest", status)?;
        }
        Ok(status == 201)
    }

    /// An upload that gets half of its bytes, and is left.
    async fn left_open(&self) -> Result<()> {
        let blob = random_blob(self.size() + 16);
        self.journal.note(&["never", "blob", &self.repo, blob.digest.as_str()])?;
        let location = match self.client.start(&self.repo).await? {
            Ok(location) => location,
            Err(status) => return self.refused("session", status),
        };
        self.journal.record(&["at", &location, "0"])?;
        for (first, last) in [(0, blob.bytes.len() / 4), (blob.bytes.len() / 4, blob.bytes.len() / 2)] {
            self.journal.note(&["over", &location])?;
            let status = self.client.patch(&location, first, blob.bytes.slice(first..last)).await?;
            if status != 202 {
                return self.refused("chunk", status);
            }
            self.journal.record(&["at", &location, &last.to_string()])?;
        }
        Ok(())
    }

    /// A blob under a digest that is not its own: neither the digest nor the bytes' own may be seen.
    async fn wrong_digest(&self) -> Result<()> {
        let (blob, other) = (random_blob(self.size()), random_blob(32));
        for digest in [&blob.digest, &other.digest] {
            self.journal.note(&["never", "blob", &self.repo, digest.as_str()])?;
        }
        let status = self.client.post(&self.repo, other.digest.as_str(), blob.bytes).await?;
        if status == 400 { Ok(()) } else { self.refused("wrong digest", status) }
    }

    /// A manifest whose blob was never pushed, under a tag of its own.
    async fn missing_child(&self, number: usize) -> Result<()> {
        let bytes = manifest_of(&[random_blob(32)]);
        let (digest, tag) = (digest_of(Algorithm::Sha256, &bytes).to_string(), format!("never{number}"));
        self.journal.note(&["never", "manifest", &self.repo, &digest, &tag])?;
        let status = self.client.put_manifest(&self.repo, &tag, bytes).await?;
        if status == 400 { Ok(()) } else { self.refused("missing child", status) }
    }

    fn refused(&self, what: &str, status: u16) -> Result<()> {
        self.journal.note(&["refused", &what.replace(' ', "-"), &status.to_string()])
    }

    /// Each order of magnitude as often as any other.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 2 MiB")]
    fn size(&self) -> usize {
        match self.taste {
            Taste::Anything => LARGEST.powf(rand::random_range(0.0..1.0)) as usize,
            Taste::Scripted => 3000,
        }
    }
}

/// A manifest whose config is the first blob and whose layers are the others. No two are alike.
pub(super) fn manifest_of(blobs: &[Blob]) -> Bytes {
    let descriptor = |blob: &Blob, media_type: &str| json!({"mediaType": media_type, "digest": blob.digest.as_str(), "size": blob.bytes.len()});
    let layers = blobs.iter().skip(1).map(|blob| descriptor(blob, "application/octet-stream"));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": blobs.first().map(|blob| descriptor(blob, "application/vnd.oci.image.config.v1+json")),
        "layers": layers.collect::<Vec<_>>(),
        "annotations": {"nonce": format!("{:016x}", rand::random::<u64>())},
    });
    manifest.to_string().into()
}
