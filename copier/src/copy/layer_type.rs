//! Layers' media types, taken apart and put together again (image-spec, media-types.md; Docker's schema 2).

use berth_oci::MediaType;

use super::options::ManifestFormat;
use crate::{Error, Result};

const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
const ENCRYPTED: &str = "+encrypted";

/// How a layer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Packing {
    /// Plain tar.
    Plain,
    /// gzip.
    Gzip,
    /// zstd, in one frame or in many.
    Zstd,
}

/// What a layer's media type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LayerType {
    /// Whose word it is.
    pub(super) format: ManifestFormat,
    /// Whether it may lie elsewhere ("foreign", "non-distributable").
    pub(super) foreign: bool,
    /// How it is packed.
    pub(super) packing: Packing,
    /// Whether it is encrypted.
    pub(super) encrypted: bool,
}

impl LayerType {
    /// `None` for what is no filesystem layer: blobs of artifacts, types of other formats.
    pub(super) fn parse(media_type: &MediaType) -> Option<Self> {
        let text = media_type.as_str();
        let (text, encrypted) = text.strip_suffix(ENCRYPTED).map_or((text, false), |text| (text, true));
        let bases = [
            (OCI, ManifestFormat::Oci, false),
            (OCI_FOREIGN, ManifestFormat::Oci, true),
            (DOCKER, ManifestFormat::V2s2, false),
            (DOCKER_FOREIGN, ManifestFormat::V2s2, true),
        ];
        bases.into_iter().find_map(|(base, format, foreign)| {
            let packing = match (text.strip_prefix(base)?, format) {
                ("", _) => Packing::Plain,
                ("+gzip", ManifestFormat::Oci) | (".gzip", ManifestFormat::V2s2) => Packing::Gzip,
                ("+zstd", ManifestFormat::Oci) | (".zstd", ManifestFormat::V2s2) => Packing::Zstd,
                _ => return None,
            };
            Some(Self { format, foreign, packing, encrypted })
        })
    }

    /// The media type of such a layer.
    ///
    /// # Errors
    /// `Error::Unsupported` for what Docker's format has no word for.
    pub(super) fn media_type(self) -> Result<MediaType> {
        let docker = self.format == ManifestFormat::V2s2;
        if docker && self.packing == Packing::Zstd {
            return Err(Error::Unsupported(
                "zstd compression is not supported for docker images; use the format oci, or gzip".to_owned(),
            ));
        }
        if docker && self.encrypted {
            return Err(Error::Unsupported(
                "encrypted layers are not supported in docker images; use the format oci".to_owned(),
            ));
        }
        let base = match (docker, self.foreign) {
            (true, false) => DOCKER,
            (true, true) => DOCKER_FOREIGN,
            (false, false) => OCI,
            (false, true) => OCI_FOREIGN,
        };
        let packing = match (self.packing, docker) {
            (Packing::Plain, _) => "",
            (Packing::Gzip, true) => ".gzip",
            (Packing::Gzip, false) => "+gzip",
            (Packing::Zstd, _) => "+zstd",
        };
        let encrypted = if self.encrypted { ENCRYPTED } else { "" };
        Ok(MediaType::new(&format!("{base}{packing}{encrypted}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layers_type_comes_apart_and_together() {
        for text in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "application/vnd.oci.image.layer.v1.tar+encrypted",
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        ] {
            let layer = LayerType::parse(&MediaType::new(text)).unwrap();
            assert_eq!(layer.media_type().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_no_layer_is_none() {
        for text in [
            "application/vnd.in-toto+json",
            "application/vnd.oci.image.layer.v1.tar+xz",
            "application/vnd.oci.image.layer.v1.tar.gzip",
            "application/vnd.docker.image.rootfs.diff.tar+gzip",
            "application/vnd.oci.image.config.v1+json",
            "",
        ] {
            assert_eq!(LayerType::parse(&MediaType::new(text)), None, "{text}");
        }
    }

    #[test]
    fn dockers_format_has_no_word_for_zstd_and_encryption() {
        for text in [
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        ] {
            let layer = LayerType::parse(&MediaType::new(text)).unwrap();
            let docker = LayerType { format: ManifestFormat::V2s2, ..layer };
            assert!(matches!(docker.media_type(), Err(Error::Unsupported(_))));
        }
    }
}
