//! The servers that are measured.

use std::io;
use std::time::Duration;

use super::wire::{Answer, Connection};
use crate::clients::digest_of;
use crate::harness::{Berth, CpuTime, DockerRegistry, HarnessError, ProcessStats, Result};

/// A registry, and its process if it was started here.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    /// `127.0.0.1:5000`.
    pub(super) host: String,
    server: Server,
}

#[derive(Debug)]
enum Server {
    Berth(Box<Berth>),
    Docker(Box<DockerRegistry>),
    Elsewhere,
}

impl Peer {
    pub(super) fn berth() -> Result<Self> {
        let berth = Berth::builder().start()?;
        Ok(Self {
            name: super::report::SUBJECT.to_owned(),
            host: berth.host(),
            server: Server::Berth(Box::new(berth)),
        })
    }

    pub(super) fn docker_registry() -> Result<Self> {
        let registry = DockerRegistry::start()?;
        Ok(Self {
            name: "docker-registry".to_owned(),
            host: registry.host(),
            server: Server::Docker(Box::new(registry)),
        })
    }

    /// A registry that somebody else started, by `HOST:PORT`.
    pub(super) fn of(host: &str) -> Self {
        Self { name: host.to_owned(), host: host.to_owned(), server: Server::Elsewhere }
    }

    /// `NAME=http://HOST:PORT`.
    pub(super) fn elsewhere(text: &str) -> Result<Self> {
        let parts = text.split_once('=').and_then(|(name, url)| Some((name, url.strip_prefix("http://")?)));
        let (name, host) =
            parts.ok_or_else(|| HarnessError::Unexpected(format!("{text}: not NAME=http://HOST:PORT")))?;
        Ok(Self {
            name: name.to_owned(),
            host: host.trim_end_matches('/').to_owned(),
            server: Server::Elsewhere,
        })
    }

    /// Figures of its process.
    pub(super) fn stats(&mut self) -> Option<ProcessStats> {
        match &mut self.server {
            Server::Berth(berth) => berth.stats(),
            Server::Docker(registry) => registry.stats(),
            Server::Elsewhere => None,
        }
    }

    /// Processor time of its process so far.
    pub(super) fn cpu(&mut self) -> Option<CpuTime> {
        self.stats()?.cpu()
    }

    /// Stops and starts it; how long it took to answer, where it was started here.
    pub(super) fn restart(&mut self) -> Result<Option<Duration>> {
        match &mut self.server {
            Server::Berth(berth) => berth.start().map(Some),
            Server::Docker(registry) => registry.restart().map(Some),
            Server::Elsewhere => Ok(None),
        }
    }

    /// Whether this is the one that all others are compared with.
    pub(super) fn is_subject(&self) -> bool {
        matches!(self.server, Server::Berth(_))
    }

    pub(super) async fn connect(&self) -> Result<Connection> {
        Connection::open(&self.host).await.map_err(network)
    }
}

/// An error of the network, in this module's terms.
pub(super) fn network(error: io::Error) -> HarnessError {
    HarnessError::Unexpected(format!("the connection failed: {error}"))
}

/// Fails unless the status is the one that a success has.
pub(super) fn expect(answer: Answer, status: u16, what: &str) -> Result<Answer> {
    if answer.status == status {
        return Ok(answer);
    }
    let body = String::from_utf8_lossy(&answer.body);
    Err(HarnessError::Unexpected(format!("{what}: {} instead of {status}: {body}", answer.status)))
}

/// Uploads a blob as docker does: POST, one PATCH with everything, PUT with the digest (distribution-spec, end-4a,
/// end-5, end-6).
pub(super) async fn push_blob(
    connection: &mut Connection,
    repository: &str,
    digest: &str,
    parts: impl Iterator<Item = &[u8]> + Clone,
) -> Result<()> {
    let none = std::iter::empty();
    let answer = connection.send("POST", &format!("/v2/{repository}/blobs/uploads/"), "", none.clone()).await;
    let location = location(expect(answer.map_err(network)?, 202, "POST of an upload")?)?;
    let headers = "Content-Type: application/octet-stream\r\n";
    let answer = connection.send("PATCH", &location, headers, parts).await;
    let location = self::location(expect(answer.map_err(network)?, 202, "PATCH of an upload")?)?;
    let glue = if location.contains('?') { '&' } else { '?' };
    let answer = connection.send("PUT", &format!("{location}{glue}digest={digest}"), "", none).await;
    expect(answer.map_err(network)?, 201, "PUT of an upload").map(drop)
}

fn location(answer: Answer) -> Result<String> {
    answer
        .location
        .ok_or_else(|| HarnessError::Unexpected("an answer to an upload without Location".to_owned()))
}

/// Puts a manifest under a tag or digest.
pub(super) async fn push_manifest(
    connection: &mut Connection,
    repository: &str,
    reference: &str,
    body: &[u8],
) -> Result<()> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let headers = "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n";
    let answer = connection.send("PUT", &path, headers, std::iter::once(body)).await;
    expect(answer.map_err(network)?, 201, "PUT of a manifest").map(drop)
}

/// A manifest with these blobs, and an annotation that makes it unlike others.
pub(super) fn manifest(config: &[u8], layer: (&str, usize), salt: &str) -> Vec<u8> {
    let text = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": berth_oci::MediaType::OCI_MANIFEST,
        "config": {"mediaType": berth_oci::MediaType::OCI_CONFIG, "digest": digest_of(config).as_str(),
            "size": config.len()},
        "layers": [{"mediaType": berth_oci::MediaType::OCI_LAYER, "digest": layer.0, "size": layer.1}],
        "annotations": {"org.example.salt": salt},
    });
    text.to_string().into_bytes()
}

/// The configuration of every image here.
pub(super) const CONFIG: &[u8] =
    br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;

/// Puts an image of one tiny layer, with this tag.
pub(super) async fn push_tiny_image(peer: &Peer, repository: &str, tag: &str) -> Result<Vec<u8>> {
    let mut connection = peer.connect().await?;
    let layer = b"a tiny layer";
    let digest = digest_of(layer);
    push_blob(&mut connection, repository, digest.as_str(), std::iter::once(&layer[..])).await?;
    push_blob(&mut connection, repository, digest_of(CONFIG).as_str(), std::iter::once(CONFIG)).await?;
    let body = manifest(CONFIG, (digest.as_str(), layer.len()), "");
    push_manifest(&mut connection, repository, tag, &body).await?;
    Ok(body)
}
