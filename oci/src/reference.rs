//! Full image references, `[host[:port]/]path[:tag][@digest]`, with the shorthands that Docker made
//! common: `ubuntu` means `docker.io/library/ubuntu`.

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use crate::{Digest, DigestError, ManifestReference, NameError, RepoName, Tag, TagError};

/// The host that a reference without one means.
pub const DEFAULT_HOST: &str = "docker.io";
/// An older name of [`DEFAULT_HOST`], which is read as it.
const LEGACY_HOST: &str = "index.docker.io";
/// The namespace of single-word names on [`DEFAULT_HOST`].
const OFFICIAL: &str = "library";

/// Why a text is not an image reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageReferenceError {
    /// What stands before the first slash is no host name.
    #[error("the registry's host is not a name or address with an optional port, like example.org:5000")]
    Host,
    /// 64 hexadecimal characters: clients take that for an image's id.
    #[error("64 hexadecimal characters are an image's id, not a name; write sha256:… behind NAME@")]
    Identifier,
    /// The path is no repository name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What stands behind the colon is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// What stands behind the `@` is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Where an image is: host, repository, and a tag, a digest, both, or neither.
///
/// Displays in full (`docker.io/library/ubuntu:24.04`); [`Self::familiar`] is the short form. Both
/// parse to the same reference again.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: Box<str>,
    name: RepoName,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// A reference to a whole repository. A single word on Docker Hub gets its `library/`.
    ///
    /// # Errors
    /// If `host` is no `name[:port]`, or if the name is too long with `library/`.
    pub fn new(host: &str, name: RepoName) -> Result<Self, ImageReferenceError> {
        if !is_host(host) {
            return Err(ImageReferenceError::Host);
        }
        let host = if host == LEGACY_HOST { DEFAULT_HOST } else { host };
        let official = host == DEFAULT_HOST && !name.as_str().contains('/');
        let name = if official { format!("{OFFICIAL}/{name}").parse()? } else { name };
        Ok(Self { host: host.into(), name, tag: None, digest: None })
    }

    /// The registry as `host` or `host:port`. For Docker Hub this is `docker.io`, which is a name
    /// for people: its interface is at another address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository in that registry.
    #[must_use]
    pub const fn name(&self) -> &RepoName {
        &self.name
    }

    /// The tag, if one was given.
    #[must_use]
    pub const fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if one was given.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository with another tag (or none).
    #[must_use]
    pub fn with_tag(self, tag: Option<Tag>) -> Self {
        Self { tag, ..self }
    }

    /// The same repository with another digest (or none).
    #[must_use]
    pub fn with_digest(self, digest: Option<Digest>) -> Self {
        Self { digest, ..self }
    }

    /// With the tag `latest`, where there is neither tag nor digest.
    #[must_use]
    pub fn or_latest(self) -> Self {
        if self.tag.is_some() || self.digest.is_some() {
            return self;
        }
        let latest = "latest".parse().ok();
        self.with_tag(latest)
    }

    /// What to ask the registry for: the digest where there is one, since a tag beside it is only
    /// for people, or else the tag.
    #[must_use]
    pub fn target(&self) -> Option<ManifestReference> {
        let digest = || self.digest.clone().map(ManifestReference::Digest);
        digest().or_else(|| self.tag.clone().map(ManifestReference::Tag))
    }

    /// The short form: without `docker.io/` and `library/`, where it means the same without them.
    #[must_use]
    pub fn familiar(&self) -> String {
        let mut out = self.familiar_name();
        self.push_suffix(&mut out);
        out
    }

    fn familiar_name(&self) -> String {
        let name = self.name.as_str();
        if self.host() != DEFAULT_HOST {
            return format!("{}/{name}", self.host());
        }
        match name.split_once('/') {
            Some((OFFICIAL, word)) if !word.contains('/') && !is_identifier(word) => word.to_owned(),
            // `docker.io/localhost/x` would be another host's without its own.
            Some((first, _)) if !looks_like_host(first) => name.to_owned(),
            _ => format!("{}/{name}", self.host()),
        }
    }

    fn push_suffix(&self, out: &mut String) {
        for (mark, part) in
            [(':', self.tag.as_ref().map(Tag::as_str)), ('@', self.digest.as_ref().map(Digest::as_str))]
        {
            if let Some(part) = part {
                out.push(mark);
                out.push_str(part);
            }
        }
    }
}

impl FromStr for Reference {
    type Err = ImageReferenceError;

    fn from_str(s: &str) -> Result<Self, ImageReferenceError> {
        let (rest, digest) = match s.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (s, None),
        };
        // A colon before the last slash belongs to the host's port.
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (rest, tag) = match rest[last..].split_once(':') {
            Some((word, tag)) => (&rest[..last + word.len()], Some(tag.parse()?)),
            None => (rest, None),
        };
        let (host, path) = match rest.split_once('/') {
            Some((first, path)) if looks_like_host(first) => (first, path),
            _ => (DEFAULT_HOST, rest),
        };
        if is_identifier(rest) {
            return Err(ImageReferenceError::Identifier);
        }
        Ok(Self { tag, digest, ..Self::new(host, path.parse()?)? })
    }
}

/// Docker's rule for what stands before the first slash: it is a host if no path component could be
/// written so, or if it is `localhost`.
fn looks_like_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `name[:port]`, `1.2.3.4[:port]` or `[::1][:port]`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let hex = |b: u8| b.is_ascii_hexdigit() || b == b':';
            let fits = !address.is_empty() && address.bytes().all(hex);
            match (fits, rest.strip_prefix(':')) {
                (true, port) if port.is_some() || rest.is_empty() => return port.is_none_or(is_port),
                _ => return false,
            }
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let label = |label: &str| {
        let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inside)
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    // parse() takes a sign, which a port has not.
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = format!("{}/{}", self.host, self.name);
        self.push_suffix(&mut out);
        f.write_str(&out)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
