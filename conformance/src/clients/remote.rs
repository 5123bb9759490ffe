//! A look at the registry that does not go through the client under test.

use berth_oci::{Digest, MediaType};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::digest_of;
use crate::harness::{HarnessError, Result};

/// Asks one registry over plain HTTP, one request at a time.
#[derive(Debug)]
pub struct Remote {
    base: String,
    client: Client,
    runtime: Runtime,
}

/// A manifest as the registry gave it.
#[derive(Debug)]
pub struct Held {
    /// Digest of the very bytes, computed here.
    pub digest: Digest,
    /// The `Content-Type` of the answer.
    pub media_type: String,
    /// The body, parsed.
    pub json: Value,
}

impl Held {
    /// Media types of its layers, or of an index's manifests.
    pub fn child_types(&self) -> Vec<&str> {
        let children = self.json["layers"].as_array().or_else(|| self.json["manifests"].as_array());
        children.into_iter().flatten().filter_map(|child| child["mediaType"].as_str()).collect()
    }

    /// Digests of its layers, or of an index's manifests.
    pub fn child_digests(&self) -> Vec<&str> {
        let children = self.json["layers"].as_array().or_else(|| self.json["manifests"].as_array());
        children.into_iter().flatten().filter_map(|child| child["digest"].as_str()).collect()
    }
}

impl Remote {
    /// A registry by its URL, without a slash at the end.
    pub fn new(base: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| HarnessError::Spawn { name: "a runtime".to_owned(), source })?;
        let client = Client::builder().no_proxy().build().map_err(unexpected)?;
        Ok(Self { base: base.to_owned(), client, runtime })
    }

    /// The manifest by tag or digest, or `None` where the registry answers 404. An error if the registry's
    /// `Docker-Content-Digest` is not the digest of what it sent.
    pub fn manifest(&self, repository: &str, reference: &str) -> Result<Option<Held>> {
        let response = self.send(Method::GET, &format!("{repository}/manifests/{reference}"))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = response.error_for_status().map_err(unexpected)?;
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (media_type, claimed) = (header("content-type"), header("docker-content-digest"));
        let body = self.runtime.block_on(response.bytes()).map_err(unexpected)?;
        let digest = digest_of(&body);
        if claimed != digest.as_str() {
            return Err(HarnessError::Unexpected(format!("it sent {digest} and called it {claimed:?}")));
        }
        Ok(Some(Held { digest, media_type, json: parse(&body)? }))
    }

    /// Status of a HEAD for a blob.
    pub fn blob_status(&self, repository: &str, digest: &str) -> Result<u16> {
        Ok(self.send(Method::HEAD, &format!("{repository}/blobs/{digest}"))?.status().as_u16())
    }

    /// All tags of a repository in one page, sorted; empty where the repository is unknown.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>> {
        let response = self.send(Method::GET, &format!("{repository}/tags/list"))?;
        let body = self.runtime.block_on(response.bytes()).map_err(unexpected)?;
        let list: Value = parse(&body)?;
        let tags = list["tags"].as_array().into_iter().flatten();
        let mut tags: Vec<String> = tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
        tags.sort();
        Ok(tags)
    }

    fn send(&self, method: Method, path: &str) -> Result<Response> {
        let accept = [
            MediaType::OCI_MANIFEST,
            MediaType::OCI_INDEX,
            MediaType::DOCKER_MANIFEST,
            MediaType::DOCKER_LIST,
        ];
        let request = self.client.request(method, format!("{}/v2/{path}", self.base));
        let request = request.header("accept", accept.join(", "));
        self.runtime.block_on(request.send()).map_err(unexpected)
    }
}

fn parse(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|error| HarnessError::Unexpected(error.to_string()))
}

fn unexpected(error: reqwest::Error) -> HarnessError {
    HarnessError::Unexpected(format!("{error}: {:?}", std::error::Error::source(&error)))
}
