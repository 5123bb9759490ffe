//! The rules of tags: which never move.

use berth_oci::{RepoName, Tag};

use crate::glob::matches;

/// Patterns of tags that, once set, neither move nor go: `v*`, or `team/*:v*` for the tags of
/// some repositories. `*` stands for any characters, `/` among them; `?` for one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Immutable(Vec<String>);

impl Immutable {
    /// From the patterns of `tags.immutable`.
    #[must_use]
    pub fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// No pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a pattern covers the tag.
    #[must_use]
    pub fn covers(&self, repo: &RepoName, tag: &Tag) -> bool {
        self.0.iter().any(|pattern| match pattern.split_once(':') {
            Some((repos, tags)) => matches(repos, repo.as_str()) && matches(tags, tag.as_str()),
            None => matches(pattern, tag.as_str()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_with_a_colon_is_for_some_repositories() {
        let rule = Immutable::new(vec!["team/*:v*".into()]);
        let tag: Tag = "v1".parse().unwrap();
        assert!(rule.covers(&"team/app/web".parse().unwrap(), &tag));
        assert!(!rule.covers(&"other/app".parse().unwrap(), &tag));
    }
}
