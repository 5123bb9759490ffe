//! Which `[[registry]]` is an image's: the one with the longest prefix of its name.

use super::Registry;

/// The table for a name that begins with a host: a host, a repository or a whole reference.
pub(super) fn longest<'a>(
    registries: impl Iterator<Item = &'a Registry>,
    name: &str,
) -> Option<&'a Registry> {
    registries
        .filter(|registry| matched(name, &registry.prefix).is_some())
        // Where both are as long, a name says more than a wildcard.
        .max_by_key(|registry| (registry.prefix.len(), !registry.prefix.starts_with("*.")))
}

/// How much of the name the prefix stands for: it must go on with `/`, `:` or `@` behind it, or end there.
///
/// So `example.org` stands for `example.org:5000` as well, which containers-registries.conf(5) does not promise, and
/// every tool does.
pub(super) fn matched(name: &str, prefix: &str) -> Option<usize> {
    let length = match prefix.strip_prefix('*') {
        Some(domain) => {
            let host = name.split(['/', ':', '@']).next()?;
            // The wildcard stands for one label at least.
            host.strip_suffix(domain).filter(|label| !label.is_empty())?;
            host.len()
        }
        None => name.starts_with(prefix).then_some(prefix.len())?,
    };
    matches!(name.as_bytes().get(length), None | Some(b'/' | b':' | b'@')).then_some(length)
}
