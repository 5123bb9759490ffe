//! The rules of tags: which never move.

use berth_oci::{RepoName, Tag};

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

/// Glob over bytes, in time of pattern times text: on a mismatch only the last `*` takes one more.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(&b) if b == b'?' || b == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                p = star + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_takes_any_characters() {
        for (pattern, text, fits) in [
            ("v*", "v1.0", true),
            ("v*", "1.0", false),
            ("*-rc?", "1.0-rc1", true),
            ("*-rc?", "1.0-rc", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_pattern_with_a_colon_is_for_some_repositories() {
        let rule = Immutable::new(vec!["team/*:v*".into()]);
        let tag: Tag = "v1".parse().unwrap();
        assert!(rule.covers(&"team/app/web".parse().unwrap(), &tag));
        assert!(!rule.covers(&"other/app".parse().unwrap(), &tag));
    }
}
