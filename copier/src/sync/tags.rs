//! Which tags of a repository are meant.

use std::{cmp::Reverse, str::FromStr};

use berth_oci::Tag;
use globset::{GlobBuilder, GlobMatcher};

use super::{constraint::Constraint, expression::Expression, version::Version};

/// A pattern over tags: a glob (`1.*`, `*-alpine`, `v[0-9]*`) that fits the whole tag, or `re:` and a regular
/// expression that fits any part of it.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// A glob.
    Glob(GlobMatcher),
    /// A regular expression.
    Regex(Expression),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no pattern: {reason}")]
pub struct PatternError {
    text: String,
    reason: String,
}

impl Pattern {
    /// Whether a tag fits.
    #[must_use]
    pub fn fits(&self, tag: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.is_match(tag),
            Self::Regex(regex) => regex.is_match(tag),
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let fault = |reason: String| PatternError { text: text.to_owned(), reason };
        match text.strip_prefix("re:") {
            Some(pattern) => regex(pattern).map(Self::Regex),
            None if text.is_empty() => Err(fault("it is empty; * fits every tag".to_owned())),
            None => GlobBuilder::new(text)
                .build()
                .map(|glob| Self::Glob(glob.compile_matcher()))
                .map_err(|error| fault(error.kind().to_string())),
        }
    }
}

/// Reads a regular expression of bounded size.
///
/// # Errors
/// If it is none, or compiles to too much.
pub(super) fn regex(pattern: &str) -> Result<Expression, PatternError> {
    Expression::new(pattern).map_err(|reason| PatternError { text: pattern.to_owned(), reason })
}

/// The rule that a list in YAML gives to a repository's tags.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Every tag.
    Every,
    /// What a regular expression fits anywhere.
    Regex(Expression),
    /// Versions in a range.
    Semver(Constraint),
}

/// A choice among the tags of a repository.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The first thing asked.
    pub rule: Rule,
    /// One of these must fit, where there are any.
    pub include: Vec<Pattern>,
    /// None of these may fit.
    pub exclude: Vec<Pattern>,
    /// How many at most: the highest versions, and behind them what is no version, from the end of the alphabet.
    pub latest: Option<usize>,
}

impl Selection {
    /// Every tag.
    #[must_use]
    pub const fn every() -> Self {
        Self { rule: Rule::Every, include: Vec::new(), exclude: Vec::new(), latest: None }
    }

    /// Whether the choice speaks of this tag at all, however many it takes in the end.
    #[must_use]
    pub fn covers(&self, tag: &str) -> bool {
        let by_rule = match &self.rule {
            Rule::Every => true,
            Rule::Regex(regex) => regex.is_match(tag),
            Rule::Semver(constraint) => constraint.fits(tag),
        };
        by_rule
            && (self.include.is_empty() || self.include.iter().any(|pattern| pattern.fits(tag)))
            && !self.exclude.iter().any(|pattern| pattern.fits(tag))
    }

    /// The chosen ones, in the order they came in.
    #[must_use]
    pub fn choose(&self, tags: &[Tag]) -> Vec<Tag> {
        let covered = tags.iter().filter(|tag| self.covers(tag.as_str()));
        let Some(latest) = self.latest else { return covered.cloned().collect() };
        let mut ranked: Vec<_> = covered.collect();
        ranked.sort_by_cached_key(|tag| Reverse((Version::parse(tag.as_str()), tag.as_str().to_owned())));
        ranked.truncate(latest);
        tags.iter().filter(|tag| ranked.contains(tag)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<Tag> {
        text.split(' ').map(|tag| tag.parse().unwrap()).collect()
    }

    fn chosen(selection: &Selection, text: &str) -> String {
        selection.choose(&tags(text)).iter().map(Tag::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_glob_fits_the_whole_tag_and_an_expression_any_part() {
        let fits = |pattern: &str, tag: &str| pattern.parse::<Pattern>().unwrap().fits(tag);
        assert!(fits("1.*", "1.2-alpine") && !fits("1.*", "v1.2") && fits("*-{alpine,slim}", "3-slim"));
        assert!(fits("re:alp", "3-alpine") && !fits("re:^alp", "3-alpine"));
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for text in ["", "[", "re:(", "re:a{1000}{1000}{1000}"] {
            let told = text.parse::<Pattern>().unwrap_err().to_string();
            assert!(told.contains("is no pattern: ") && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn include_exclude_and_latest_work_together() {
        let mut selection = Selection::every();
        assert_eq!(chosen(&selection, "b a 1.0"), "b a 1.0");
        selection.exclude = vec!["*-rc*".parse().unwrap(), "latest".parse().unwrap()];
        assert_eq!(chosen(&selection, "1.0 1.1-rc1 latest edge"), "1.0 edge");
        selection.include = vec!["1.*".parse().unwrap(), "2.*".parse().unwrap()];
        assert_eq!(chosen(&selection, "1.0 1.1-rc1 latest edge 2.0 3.0"), "1.0 2.0");
    }

    #[test]
    fn the_latest_are_the_highest_versions_and_then_words_from_the_end() {
        let selection = Selection { latest: Some(3), ..Selection::every() };
        assert_eq!(chosen(&selection, "1.9 1.10 edge 2.0-rc zeta 1.2"), "1.9 1.10 2.0-rc");
        assert_eq!(chosen(&selection, "edge zeta alpha 1.0"), "edge zeta 1.0");
    }
}
