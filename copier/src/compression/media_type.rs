//! A layer's media type after its compression changed.

use berth_oci::MediaType;

use crate::{Error, Result, copy::CompressionFormat};

const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
const NON_DISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";

/// The type of a layer of type `was` that is packed in `format` now (`None`: plain).
///
/// # Errors
/// `Error::Unsupported` for types of no layer, and for Docker's types with zstd, which those do not have.
pub fn packed_type(was: &MediaType, format: Option<CompressionFormat>) -> Result<MediaType> {
    let docker = |stem: &str| match format {
        None => Ok(MediaType::new(stem)),
        Some(CompressionFormat::Gzip) => Ok(MediaType::new(&format!("{stem}.gzip"))),
        Some(CompressionFormat::Zstd | CompressionFormat::ZstdChunked) => Err(Error::Unsupported(format!(
            "{was}: Docker's manifests have no zstd layers; convert the image with --format oci"
        ))),
    };
    let oci = |stem: &str| {
        MediaType::new(&match format {
            None => stem.to_owned(),
            Some(CompressionFormat::Gzip) => format!("{stem}+gzip"),
            Some(CompressionFormat::Zstd | CompressionFormat::ZstdChunked) => format!("{stem}+zstd"),
        })
    };
    let text = was.as_str();
    let stem =
        text.strip_suffix(".gzip").or_else(|| text.rsplit_once('+').map(|(stem, _)| stem)).unwrap_or(text);
    match stem {
        DOCKER | FOREIGN => docker(stem),
        OCI | NON_DISTRIBUTABLE => Ok(oci(stem)),
        _ => Err(Error::Unsupported(format!("{was} is no layer's type: it cannot be recompressed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_follows_the_compression() {
        let gzip = Some(CompressionFormat::Gzip);
        let zstd = Some(CompressionFormat::ZstdChunked);
        for (was, format, is) in [
            (MediaType::OCI_LAYER, gzip, MediaType::OCI_LAYER_GZIP),
            (MediaType::OCI_LAYER_GZIP, zstd, MediaType::OCI_LAYER_ZSTD),
            (MediaType::OCI_LAYER_ZSTD, None, MediaType::OCI_LAYER),
            (MediaType::DOCKER_LAYER_GZIP, None, DOCKER),
            (DOCKER, gzip, MediaType::DOCKER_LAYER_GZIP),
            (NON_DISTRIBUTABLE, gzip, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        ] {
            assert_eq!(packed_type(&was.into(), format).unwrap(), is.into(), "{was}");
        }
        for (was, format) in [
            (MediaType::DOCKER_LAYER_GZIP, zstd),
            (MediaType::OCI_CONFIG, gzip),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", gzip),
        ] {
            assert!(matches!(packed_type(&was.into(), format), Err(Error::Unsupported(_))), "{was}");
        }
    }
}
