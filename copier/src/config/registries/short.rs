//! Names without a registry.

use berth_oci::{Digest, Reference, RepoName, Tag};

use super::{Registries, ShortNameMode};
use crate::{Error, Result};

impl Registries {
    /// What a name could mean, the likeliest first. A name with a registry means itself. A short one means its alias, or
    /// else the name in each of the `unqualified-search-registries`. Without tag and digest it is `latest`.
    ///
    /// # Errors
    /// `Error::Usage` for what is no name, for one that nothing resolves, and in the mode `enforcing` for one that several
    /// registries could mean.
    pub fn resolve_short(&self, text: &str) -> Result<Vec<Reference>> {
        let fault = |reason: String| Error::Usage(format!("invalid image name {text:?}: {reason}"));
        let reference: Reference = text.parse().map_err(|error| fault(format!("{error}")))?;
        let Some(short) = short_name(text) else { return Ok(vec![reference.or_latest()]) };
        let (tag, digest) = (reference.tag().cloned(), reference.digest().cloned());
        let complete = |repository: Reference, tag: Option<Tag>, digest: Option<Digest>| {
            repository.with_tag(tag).with_digest(digest).or_latest()
        };
        if let Some(meant) = self.aliases.get(short).and_then(|alias| alias.0.clone()) {
            return Ok(vec![complete(meant, tag, digest)]);
        }
        let origin = self.search_origin.display();
        match self.search.as_slice() {
            [] => Err(Error::Usage(format!(
                "short-name {text:?} did not resolve to an alias and no unqualified-search registries are defined in \
                 \"{origin}\"; write the name with its registry, like docker.io/library/{short}"
            ))),
            [_, _, ..] if self.short_name_mode() == ShortNameMode::Enforcing => Err(Error::Usage(format!(
                "short-name {text:?} could be in {}, and short-name-mode is \"enforcing\" in \"{origin}\"; write the name \
                 with its registry",
                self.search.join(", ")
            ))),
            registries => {
                let name: RepoName = short.parse().map_err(|error| fault(format!("{error}")))?;
                let in_registry = |host: &String| {
                    let repository =
                        Reference::new(host, name.clone()).map_err(|error| fault(format!("{error}")))?;
                    Ok(complete(repository, tag.clone(), digest.clone()))
                };
                registries.iter().map(in_registry).collect()
            }
        }
    }
}

/// The name without tag and digest, if no registry stands before it.
pub(super) fn short_name(text: &str) -> Option<&str> {
    let text = text.split('@').next().unwrap_or_default();
    let last = text.rfind('/').map_or(0, |slash| slash + 1);
    let name = match text[last..].find(':') {
        Some(colon) => &text[..last + colon],
        None => text,
    };
    match name.split_once('/') {
        Some((first, _)) => (!is_registry(first)).then_some(name),
        None => Some(name),
    }
}

/// Whether what stands before the first slash is a registry, and not a namespace.
pub(super) fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':']) || first.bytes().any(|byte| byte.is_ascii_uppercase())
}
