//! To and from the `oci-spec` crate's descriptor, for code that speaks that crate's types.
//!
//! Fields of `data` keep their base64; whoever converts from there is told of digests and base64
//! that this crate does not take, by the same words as a manifest's writer.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use oci_spec::image as spec;

use crate::{Descriptor, Digest, MediaType, Platform};

/// Why a descriptor of the `oci-spec` crate is none of this crate's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecDescriptorError {
    /// Its digest is of an algorithm that Berth cannot verify.
    #[error(transparent)]
    Digest(#[from] crate::DigestError),
    /// Its embedded content is not base64.
    #[error("the descriptor's data is not base64")]
    Data,
}

impl TryFrom<&spec::Descriptor> for Descriptor {
    type Error = SpecDescriptorError;

    fn try_from(from: &spec::Descriptor) -> Result<Self, SpecDescriptorError> {
        let digest: Digest = from.digest().as_ref().parse()?;
        let data = from.data().as_ref().map(|text| STANDARD.decode(text)).transpose();
        Ok(Self {
            urls: from.urls().clone().unwrap_or_default(),
            annotations: from.annotations().clone().unwrap_or_default().into_iter().collect(),
            data: data.map_err(|_| SpecDescriptorError::Data)?.map(Bytes::from),
            artifact_type: from.artifact_type().as_ref().map(|kind| MediaType::new(kind.as_ref())),
            platform: from.platform().as_ref().map(Platform::from),
            ..Self::new(MediaType::new(from.media_type().as_ref()), digest, from.size())
        })
    }
}

impl From<&spec::Platform> for Platform {
    fn from(from: &spec::Platform) -> Self {
        Self {
            architecture: from.architecture().to_string(),
            os: from.os().to_string(),
            os_version: from.os_version().clone(),
            os_features: from.os_features().clone().unwrap_or_default(),
            variant: from.variant().clone(),
            features: from.features().clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<&Descriptor> for spec::Descriptor {
    type Error = oci_spec::OciSpecError;

    fn try_from(from: &Descriptor) -> Result<Self, oci_spec::OciSpecError> {
        let digest: spec::Digest = from.digest.as_str().parse()?;
        let mut to = Self::new(from.media_type.as_str().into(), from.size, digest);
        let annotations = from.annotations.clone().into_iter().collect();
        to.set_urls((!from.urls.is_empty()).then(|| from.urls.clone()));
        to.set_annotations((!from.annotations.is_empty()).then_some(annotations));
        to.set_data(from.data.as_ref().map(|data| STANDARD.encode(data)));
        to.set_artifact_type(from.artifact_type.as_ref().map(|kind| kind.as_str().into()));
        to.set_platform(from.platform.as_ref().map(spec::Platform::from));
        Ok(to)
    }
}

impl From<&Platform> for spec::Platform {
    fn from(from: &Platform) -> Self {
        let list = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let mut to = Self::default();
        to.set_architecture(from.architecture.as_str().into());
        to.set_os(from.os.as_str().into());
        to.set_os_version(from.os_version.clone());
        to.set_os_features(list(&from.os_features));
        to.set_variant(from.variant.clone());
        to.set_features(list(&from.features));
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    #[test]
    fn a_descriptor_goes_there_and_back() {
        let mut descriptor =
            Descriptor::new(MediaType::OCI_MANIFEST.into(), Digest::of(Algorithm::Sha512, b"{}"), 2);
        descriptor.urls = vec!["https://example.org/x".into()];
        descriptor.annotations = [("k".to_owned(), "v".to_owned())].into();
        descriptor.data = Some(Bytes::from_static(b"{}"));
        descriptor.artifact_type = Some("application/vnd.example".into());
        descriptor.platform =
            Some(Platform { os_version: Some("10".into()), ..("windows/arm64/v8").parse().unwrap() });
        let there = spec::Descriptor::try_from(&descriptor).unwrap();
        assert_eq!(Descriptor::try_from(&there), Ok(descriptor));
    }

    #[test]
    fn digests_that_cannot_be_verified_do_not_come_in() {
        let digest: spec::Digest = format!("sha384:{}", "a".repeat(96)).parse().unwrap();
        let from = spec::Descriptor::new(spec::MediaType::ImageLayer, 1, digest);
        let error = SpecDescriptorError::Digest(crate::DigestError::Algorithm);
        assert_eq!(Descriptor::try_from(&from), Err(error));
    }
}
