//! Blobs of a repository: whether they are there, mounts, and where an upload goes (distribution-spec, "Pulling blobs",
//! "Pushing blobs", "Mounting a blob from another repository").

use berth_oci::{Descriptor, Digest, RepoName};
use reqwest::{Method, StatusCode};
use url::Url;

use super::{
    Mount, Repository,
    answer::Answer,
    download::RemoteBlob,
    registry::{Ask, Lane, Target},
    repository::{Access, NO_BLOB, NO_NAME, Place},
    trust,
};
use crate::{Content, Error, Result, UploadHandle};

impl Repository {
    /// Size of a blob by HEAD; `None` if it is not there.
    ///
    /// # Errors
    /// If the registry answers neither yes nor no.
    pub async fn has_blob(&self, blob: &Digest) -> Result<Option<u64>> {
        self.find_blob(blob, Lane::Brief).await
    }

    /// [`Self::has_blob`] for who holds a permit.
    pub(super) async fn has_blob_held(&self, blob: &Digest) -> Result<Option<u64>> {
        self.find_blob(blob, Lane::Held).await
    }

    async fn find_blob(&self, blob: &Digest, lane: Lane) -> Result<Option<u64>> {
        let what = format!("checking whether a blob {blob} exists");
        let found = self.anywhere(true, |place| self.head_blob(place, blob, &what, lane)).await;
        match found {
            Ok(size) => {
                self.learn(blob);
                Ok(Some(size))
            }
            Err(error) if matches!(error.root(), Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn head_blob(&self, place: &Place, blob: &Digest, what: &str, lane: Lane) -> Result<u64> {
        let ask = Ask::bare(Method::HEAD, place.path(&format!("blobs/{blob}")), what, lane);
        let answer = place.send(&ask, self.access(), None).await?;
        let answer = place.accept(answer, what, NO_BLOB).await?;
        let size = answer.number("content-length").ok_or_else(|| {
            Error::Integrity(format!("{what} in {}: the answer has no Content-Length", place.place()))
        })?;
        answer.finish().await;
        Ok(size)
    }

    /// A blob's content; nothing is asked before it is opened. Broken downloads go on by Range.
    #[must_use]
    pub fn blob(&self, blob: &Descriptor) -> Box<dyn Content> {
        Box::new(RemoteBlob::new(self.clone(), blob.clone()))
    }

    /// Asks for a blob from another repository of this registry; without `from` the registry may know it from anywhere.
    ///
    /// # Errors
    /// As every request.
    pub async fn mount(&self, blob: &Digest, from: Option<&RepoName>) -> Result<Mount> {
        let place = self.primary();
        let what = format!("mounting blob {blob}");
        let query = from.map_or_else(String::new, |from| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("from", from.as_str());
            format!("&{}", query.finish())
        });
        let path = place.path(&format!("blobs/uploads/?mount={blob}{query}"));
        let ask = Ask::bare(Method::POST, path, &what, Lane::Brief);
        let answer = place.send(&ask, Access::Push, from).await?;
        let answer = place.accept(answer, &what, NO_NAME).await?;
        if answer.status() == StatusCode::CREATED {
            answer.finish().await;
            self.learn(blob);
            return Ok(Mount::Done);
        }
        let location = self.location(&answer, &what).await;
        answer.finish().await;
        location.map(Mount::Upload)
    }

    /// Begins an upload.
    pub(super) async fn begin_upload(&self, lane: Lane) -> Result<UploadHandle> {
        let place = self.primary();
        let what = "initiating layer upload";
        let ask = Ask::bare(Method::POST, place.path("blobs/uploads/"), what, lane);
        let answer = place.send(&ask, Access::Push, None).await?;
        let answer = place.accept(answer, what, NO_NAME).await?;
        let location = self.location(&answer, what).await;
        answer.finish().await;
        location
    }

    /// Where an upload goes on: `Location`, absolute, and of a host that may have it (C3, C4).
    pub(super) async fn location(&self, answer: &Answer, what: &str) -> Result<UploadHandle> {
        let place = self.primary();
        let Some(location) = answer.header("location") else {
            return Err(Error::Integrity(format!("{what} in {}: the answer has no Location", place.place())));
        };
        let url = trust::follow(answer.url(), location, "the upload location")?;
        self.may_receive(&url).await?;
        Ok(UploadHandle(url))
    }

    /// Whether a URL may have a blob's bytes (C4).
    pub(super) async fn may_receive(&self, url: &Url) -> Result<()> {
        let base = self.primary().registry.base().await;
        trust::body_to(url, &base, &self.shared().trusted_upload_hosts)
    }

    /// Gives up an upload, so that the registry need not keep what came of it.
    ///
    /// # Errors
    /// As every request; a registry that keeps it has lost nothing but room.
    pub async fn cancel(&self, upload: &UploadHandle) -> Result<()> {
        let what = "cancelling an upload";
        let ask = Ask::bare(Method::DELETE, Target::Url(upload.0.clone()), what, Lane::Held);
        let answer = self.primary().send(&ask, Access::Push, None).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        self.primary().accept(answer, what, "upload unknown").await?.finish().await;
        Ok(())
    }
}
