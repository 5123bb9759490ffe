//! A look at the registry that does not go through the client under test.

use std::collections::BTreeMap;

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

    /// All repositories in one page, sorted.
    pub fn repositories(&self) -> Result<Vec<String>> {
        let response = self.send(Method::GET, "_catalog")?;
        let body = self.runtime.block_on(response.bytes()).map_err(unexpected)?;
        let list: Value = parse(&body)?;
        let names = list["repositories"].as_array().into_iter().flatten();
        let mut names: Vec<String> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// `repository:tag` and the digest that it stands for, for every tag of every repository.
    pub fn every_tag(&self) -> Result<BTreeMap<String, Digest>> {
        let mut found = BTreeMap::new();
        for repository in self.repositories()? {
            for tag in self.tags(&repository)? {
                if let Some(held) = self.manifest(&repository, &tag)? {
                    found.insert(format!("{repository}:{tag}"), held.digest);
                }
            }
        }
        Ok(found)
    }

    /// Digests of the manifests whose subject is `subject`.
    pub fn referrers(&self, repository: &str, subject: &Digest) -> Result<Vec<String>> {
        let response = self.send(Method::GET, &format!("{repository}/referrers/{subject}"))?;
        let body = self.runtime.block_on(response.bytes()).map_err(unexpected)?;
        let list: Value = parse(&body)?;
        let entries = list["manifests"].as_array().into_iter().flatten();
        Ok(entries.filter_map(|entry| entry["digest"].as_str().map(str::to_owned)).collect())
    }

    /// A blob's bytes, or the status of the answer where it is not 200.
    pub fn blob(&self, repository: &str, digest: &str) -> Result<std::result::Result<Vec<u8>, u16>> {
        let response = self.send(Method::GET, &format!("{repository}/blobs/{digest}"))?;
        if response.status() != StatusCode::OK {
            return Ok(Err(response.status().as_u16()));
        }
        Ok(Ok(self.runtime.block_on(response.bytes()).map_err(unexpected)?.to_vec()))
    }

    /// Pushes a blob; the status of the last answer.
    pub fn push_blob(&self, repository: &str, bytes: &[u8]) -> Result<u16> {
        let started = self.client.post(format!("{}/v2/{repository}/blobs/uploads/", self.base)).send();
        let started = self.runtime.block_on(started).map_err(unexpected)?;
        let location = started.headers().get("location").and_then(|value| value.to_str().ok());
        let location = location.unwrap_or_default().to_owned();
        let location = if location.starts_with('/') { format!("{}{location}", self.base) } else { location };
        let joined = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{joined}digest={}", digest_of(bytes));
        let request = self.client.put(url).header("content-type", "application/octet-stream");
        let response = self.runtime.block_on(request.body(bytes.to_vec()).send()).map_err(unexpected)?;
        Ok(response.status().as_u16())
    }

    /// Pushes a manifest; the status of the answer.
    pub fn push_manifest(&self, repository: &str, reference: &str, manifest: &Value) -> Result<u16> {
        let url = format!("{}/v2/{repository}/manifests/{reference}", self.base);
        let media_type = manifest["mediaType"].as_str().unwrap_or_default();
        let request = self.client.put(url).header("content-type", media_type).body(manifest.to_string());
        Ok(self.runtime.block_on(request.send()).map_err(unexpected)?.status().as_u16())
    }

    /// Deletes a tag, or a manifest by its digest; the status of the answer.
    pub fn delete_manifest(&self, repository: &str, reference: &str) -> Result<u16> {
        Ok(self.send(Method::DELETE, &format!("{repository}/manifests/{reference}"))?.status().as_u16())
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
