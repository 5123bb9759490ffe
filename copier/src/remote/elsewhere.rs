//! What is kept beside a registry: signatures, where registries.d says.

use berth_oci::Reference;
use bytes::Bytes;
use reqwest::StatusCode;
use url::Url;

use super::{
    Repository,
    answer::Doing,
    registry::{Ask, Lane, Target},
    trust,
};
use crate::{Result, config::Storage};

impl Repository {
    /// Where the signatures of an image of this repository are kept.
    pub(super) fn signature_storage(&self, image: &Reference) -> Storage {
        self.shared().signatures.for_reference(image)
    }

    /// Reads a file of a web server that a configuration file names, without credentials; `None` where the server has
    /// none.
    ///
    /// # Errors
    /// If the server answers neither yes nor no, or with more than `limit` bytes.
    pub(crate) async fn fetch(&self, url: &Url, limit: usize) -> Result<Option<Bytes>> {
        if let Some(host) = url.host_str() {
            // Named by the user, if not in a reference: it may be anywhere.
            self.shared().named.insert(host);
        }
        let what = format!("reading {url}");
        let ask = Ask::get(Target::Url(url.clone()), &what, Lane::Brief);
        let answer = self.primary().registry.deliver(&ask, None).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            answer.finish().await;
            return Ok(None);
        }
        let place = trust::host(url);
        let answer = answer.accept(Doing { what: &what, place: &place, absent: "not found" }).await?;
        answer.bytes(limit, &what).await.map(Some)
    }
}
