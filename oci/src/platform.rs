//! What an image runs on (image-spec, image-index.md, "platform").

use std::{fmt, str::FromStr};

use serde::Serialize;

/// An entry's platform in an index. Architecture and system are Go's names (`amd64`, `linux`);
/// they are empty where a writer left them out, which the specification forbids and some do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Platform {
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `linux`, `windows`, …
    pub os: String,
    /// Version of the system; Windows needs it.
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features that the system must have.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the architecture: `v8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Reserved by OCI; Docker's lists name features of the processor here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// Why a text is not a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a platform has the form os/architecture or os/architecture/variant, like linux/arm64/v8")]
pub struct PlatformError;

impl FromStr for Platform {
    type Err = PlatformError;

    /// Takes `os/architecture[/variant]`, as the clients' `--platform` does.
    fn from_str(s: &str) -> Result<Self, PlatformError> {
        let word = |part: &str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            (!part.is_empty() && part.bytes().all(known)).then(|| part.to_owned()).ok_or(PlatformError)
        };
        let mut parts = s.split('/');
        let os = word(parts.next().unwrap_or_default())?;
        let architecture = word(parts.next().unwrap_or_default())?;
        let variant = parts.next().map(word).transpose()?;
        match parts.next() {
            Some(_) => Err(PlatformError),
            None => Ok(Self { architecture, os, variant, ..Self::default() }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_renders_as_it_was_written() {
        for text in ["linux/amd64", "linux/arm64/v8", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_two_or_three_words_is_no_platform() {
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "linux//v8"] {
            assert_eq!(text.parse::<Platform>(), Err(PlatformError), "{text}");
        }
    }
}
