//! The manifest of an artifact (image-spec, manifest.md).

use std::collections::BTreeMap;

use berth_oci::{Algorithm, Descriptor, Digest, MediaType};
use bytes::Bytes;
use serde::Serialize;

use crate::{Error, RawManifest, Result};

/// What a manifest is made of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    schema_version: u8,
    media_type: MediaType,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<MediaType>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Document {
    /// An artifact of these parts. Without a file the layer is the empty one, as the specification has it.
    pub(super) fn new(
        artifact_type: Option<MediaType>,
        config: Descriptor,
        layers: Vec<Descriptor>,
        subject: Option<&Descriptor>,
        annotations: BTreeMap<String, String>,
    ) -> Self {
        let layers = if layers.is_empty() { vec![empty()] } else { layers };
        // A subject is told by three fields; what an index or a server said besides is not of the subject.
        let subject = subject
            .map(|subject| Descriptor::new(subject.media_type.clone(), subject.digest.clone(), subject.size));
        let media_type = MediaType::OCI_MANIFEST.into();
        Self { schema_version: 2, media_type, artifact_type, config, layers, subject, annotations }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If a registry would not take it.
    pub(super) fn encode(&self) -> Result<RawManifest> {
        let raw = serde_json::to_vec(self).map_err(|fault| Error::Other {
            what: "writing the manifest".to_owned(),
            source: fault.into(),
        })?;
        let manifest = RawManifest::new(raw.into(), Some(self.media_type.clone()));
        manifest.parse()?;
        Ok(manifest)
    }
}

/// The empty descriptor: `{}`, with its content.
pub(super) fn empty() -> Descriptor {
    let content = Bytes::from_static(b"{}");
    let digest = Digest::of(Algorithm::Sha256, &content);
    let mut empty = Descriptor::new(MediaType::OCI_EMPTY.into(), digest, content.len() as u64);
    empty.data = Some(content);
    empty
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_without_files_has_the_empty_layer() {
        let document = Document::new(
            Some(MediaType::new("application/x.y")),
            empty(),
            Vec::new(),
            None,
            [("k".to_owned(), "v".to_owned())].into(),
        );
        let raw = document.encode().unwrap();
        let blank = "{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\
                     \"digest\":\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\
                     \"size\":2,\"data\":\"e30=\"}";
        assert_eq!(
            String::from_utf8_lossy(&raw.raw),
            format!(
                "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
                 \"artifactType\":\"application/x.y\",\"config\":{blank},\"layers\":[{blank}],\
                 \"annotations\":{{\"k\":\"v\"}}}}"
            )
        );
    }
}
