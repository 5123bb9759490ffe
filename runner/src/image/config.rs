//! Image configurations (image-spec, config.md): what of them is read here. The bytes stay as they came.

use berth_copier::copy::platform;
use berth_oci::{Digest, Platform};
use serde::Deserialize;

use crate::{
    error::{Result, RunnerError},
    store::{Image, Store},
};

/// Most bytes of a configuration.
pub(crate) const MAX_BYTES: u64 = 4 << 20;

/// Layers that the kernel puts on each other; an image with more could never run.
pub(crate) const MAX_LAYERS: usize = 500;

/// What is read of a configuration to bring an image here.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Outline {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: Option<String>,
    rootfs: RootFs,
}

#[derive(Clone, Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

impl Outline {
    /// Reads it.
    ///
    /// # Errors
    /// [`RunnerError::Content`] for what is no image's configuration.
    pub(crate) fn parse(config: &[u8]) -> Result<Self> {
        serde_json::from_slice(config).map_err(|fault| {
            RunnerError::Content(format!("the image's configuration is none: {fault}; it cannot be run"))
        })
    }

    /// Digests of the layers' tars, lowest first.
    pub(crate) fn diff_ids(&self) -> &[Digest] {
        self.rootfs.diff_ids.as_deref().unwrap_or_default()
    }

    /// Whether its layers can be put on each other.
    ///
    /// # Errors
    /// [`RunnerError::Unsupported`] with their number.
    pub(crate) fn check_layers(&self, image: &str) -> Result<()> {
        match self.diff_ids().len() {
            ..=MAX_LAYERS => Ok(()),
            layers => Err(RunnerError::Unsupported(format!(
                "{image} has {layers} layers, and the kernel puts {MAX_LAYERS} at most on each other"
            ))),
        }
    }

    /// What it runs on.
    pub(crate) fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            variant: self.variant.clone().filter(|variant| !variant.is_empty()),
            ..Platform::default()
        }
    }
}

/// Refuses an image that is for another platform than the one that is wanted: this machine's, or what was asked for.
/// What a configuration leaves out fits.
///
/// # Errors
/// [`RunnerError::Unsupported`] with both.
pub(crate) fn check_platform(image: &str, is: &Platform, asked: Option<&Platform>) -> Result<()> {
    let none = Platform::default();
    let wanted = platform::wanted(asked.unwrap_or(&none), &platform::host());
    // Where nobody asked for a variant, and the processor has none that is known, any will do.
    let any_variant = wanted.iter().all(|wanted| wanted.variant.is_none());
    let fits = |wanted: &Platform| {
        (is.os.is_empty() || is.os == wanted.os)
            && (is.architecture.is_empty() || is.architecture == wanted.architecture)
            && (is.variant.is_none() || any_variant || is.variant == wanted.variant)
    };
    if wanted.iter().any(fits) {
        return Ok(());
    }
    let best = wanted.first().cloned().unwrap_or_default();
    let (who, way_out) = match asked {
        Some(_) => ("what was asked for is", format!("--platform {is} asks for this one")),
        None => ("this machine is", format!("pull an image that has {best}")),
    };
    Err(RunnerError::Unsupported(format!("{image} is for {is}, and {who} {best}: {way_out}")))
}

/// As [`check_platform`], of an image that is here.
///
/// # Errors
/// As there; where its configuration cannot be read.
pub(crate) fn check_image(store: &Store, name: &str, image: &Image, asked: Option<&Platform>) -> Result<()> {
    let outline = Outline::parse(&store.blob(&image.id)?)?;
    check_platform(name, &outline.platform(), asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is: &str, asked: Option<&str>) -> Result<()> {
        let asked: Option<Platform> = asked.map(|text| text.parse().unwrap());
        check_platform("x.org/a", &is.parse().unwrap(), asked.as_ref())
    }

    #[test]
    fn an_image_for_another_platform_is_refused_with_both() {
        let host = platform::host();
        let error = check("windows/amd64", None).unwrap_err();
        assert!(matches!(error, RunnerError::Unsupported(_)));
        assert!(error.to_string().contains("x.org/a is for windows/amd64, and this machine is "), "{error}");
        assert!(error.to_string().contains(&host.to_string()), "{error}");
        assert!(check("linux/s390x", None).is_err());
        assert!(check("linux/s390x", Some("linux/s390x")).is_ok());
        assert!(check("linux/amd64", Some("linux/arm64")).is_err());
        assert!(check("linux/arm/v6", Some("linux/arm/v7")).is_ok());
        assert!(check("linux/arm/v7", Some("linux/arm/v6")).is_err());
    }

    #[test]
    fn a_configuration_that_says_no_platform_fits() {
        assert!(check_platform("a", &Platform::default(), None).is_ok());
    }
}
