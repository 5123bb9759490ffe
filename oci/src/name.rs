//! Repository names and tags as the distribution specification spells them
//! (distribution-spec, "Pulling manifests").

use std::{fmt, str::FromStr};

use crate::{Digest, DigestError};

/// Why a text is not a repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or longer than [`RepoName::MAX`].
    #[error("a repository name has 1 to 255 characters")]
    Length,
    /// A path component breaks the specification's pattern.
    #[error(
        "a repository name is made of components like `library/hello-world`: lower-case letters and \
         digits, joined inside a component by `.`, `_`, `__` or dashes"
    )]
    Pattern,
}

/// A repository name, without a registry host: `library/hello-world`.
///
/// It holds no `..`, no empty component and no character outside `[a-z0-9._/-]`, so that it is
/// safe in a path, a log line and a URL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoName(Box<str>);

impl RepoName {
    /// The longest name that is accepted, in characters.
    pub const MAX: usize = 255;

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !alnum(first) || !alnum(last) {
        return false;
    }
    bytes
        .split(|&b| alnum(b))
        .all(|gap| matches!(gap, b"" | b"." | b"_" | b"__") || gap.iter().all(|&b| b == b'-'))
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Self, NameError> {
        if s.is_empty() || s.len() > Self::MAX {
            return Err(NameError::Length);
        }
        if !s.split('/').all(is_component) {
            return Err(NameError::Pattern);
        }
        Ok(Self(s.into()))
    }
}

/// Why a text is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tag has 1 to 128 letters, digits, `_`, `.` or `-`, and begins with a letter, a digit or `_`")]
pub struct TagError;

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

impl Tag {
    /// The longest tag, in characters.
    pub const MAX: usize = 128;

    /// The tag's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(s: &str) -> Result<Self, TagError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let [first, rest @ ..] = s.as_bytes() else { return Err(TagError) };
        let fits =
            s.len() <= Self::MAX && word(*first) && rest.iter().all(|&b| word(b) || b == b'.' || b == b'-');
        if fits { Ok(Self(s.into())) } else { Err(TagError) }
    }
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
text!(RepoName);
text!(Tag);

/// What stands behind `/manifests/`: a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ManifestReference {
    /// A name that may move.
    Tag(Tag),
    /// The content itself.
    Digest(Digest),
}

/// Why a text is neither a tag nor a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has a colon, so it was meant to be a digest, and is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl FromStr for ManifestReference {
    type Err = ReferenceError;

    /// A colon never stands in a tag, so it decides which of the two was meant.
    fn from_str(s: &str) -> Result<Self, ReferenceError> {
        if s.contains(':') { Ok(Self::Digest(s.parse()?)) } else { Ok(Self::Tag(s.parse()?)) }
    }
}

impl fmt::Display for ManifestReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_specification_are_taken() {
        for name in ["a", "library/hello-world", "a.b_c__d---e/f0", "0/1/2"] {
            assert_eq!(name.parse::<RepoName>().as_ref().map(RepoName::as_str), Ok(name));
        }
    }

    #[test]
    fn r1_names_outside_the_pattern_are_refused() {
        let long = "a".repeat(256);
        for name in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "..",
            "a/../b",
            "A",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a-",
            "a\0b",
            "a%2fb",
            "ä",
            long.as_str(),
        ] {
            assert!(name.parse::<RepoName>().is_err(), "{name:?} was taken");
        }
    }

    #[test]
    fn r2_tags_have_128_characters_at_most() {
        assert!("a".repeat(128).parse::<Tag>().is_ok());
        for tag in ["", ".a", "-a", "a b", "a/b", "a:b", &"a".repeat(129)] {
            assert!(tag.parse::<Tag>().is_err(), "{tag:?} was taken");
        }
    }

    #[test]
    fn a_colon_makes_a_reference_a_digest() {
        assert!(matches!("v1.0".parse(), Ok(ManifestReference::Tag(_))));
        assert!(matches!("sha256:x".parse::<ManifestReference>(), Err(ReferenceError::Digest(_))));
    }
}
