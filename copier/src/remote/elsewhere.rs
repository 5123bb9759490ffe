//! Addresses beside a registry that the user's configuration names.

use bytes::Bytes;
use futures_util::StreamExt;
use url::Url;

use super::Repository;
use crate::{Error, Result};

impl Repository {
    /// Reads a file of a web server that a configuration file names, without credentials; `None` where it has none. Of a
    /// longer one no more than `limit` bytes are read.
    ///
    /// # Errors
    /// If the server answers neither yes nor no.
    pub(crate) async fn fetch(&self, url: &Url, limit: usize) -> Result<Option<Bytes>> {
        let what = format!("reading {url}");
        let network = |source: reqwest::Error| Error::Network { what: what.clone(), source: source.into() };
        let response = reqwest::Client::new().get(url.clone()).send().await.map_err(network)?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !response.status().is_success() {
            return Err(Error::Registry { what, status: response.status().as_u16(), detail: String::new() });
        }
        let (mut whole, mut pieces) = (Vec::new(), response.bytes_stream());
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece.map_err(network)?);
            if whole.len() >= limit {
                break;
            }
        }
        whole.truncate(limit);
        Ok(Some(whole.into()))
    }
}
