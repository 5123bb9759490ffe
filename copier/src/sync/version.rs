//! Versions in tags: read leniently, ordered as semver.org (item 11) says.

use std::cmp::Ordering;

/// A version: `1.2.3-rc.1+build`. What is left out is 0, a `v` before it and zeros in front of numbers are taken
/// (`v1.2`, `20.04`), and what stands behind a `+` counts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    /// Empty for a release.
    pub(super) pre: Vec<Identifier>,
}

/// A part of a prerelease. Numbers come before words, as the derived order has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identifier {
    Number(u64),
    Word(String),
}

impl Version {
    /// Reads a tag; `None` where it is no version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = split(text, '+');
        let (numbers, pre) = split(text, '-');
        if build.is_some_and(|build| identifiers(build).is_none()) {
            return None;
        }
        let pre = pre.map_or_else(|| Some(Vec::new()), identifiers)?;
        let mut parts = numbers.split('.').map(number);
        let major = parts.next()??;
        let minor = parts.next().unwrap_or(Some(0))?;
        let patch = parts.next().unwrap_or(Some(0))?;
        parts.next().is_none().then_some(Self { major, minor, patch, pre })
    }

    pub(super) fn is_prerelease(&self) -> bool {
        !self.pre.is_empty()
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self)
            .cmp(&numbers(other))
            // A release is above its prereleases.
            .then_with(|| self.pre.is_empty().cmp(&other.pre.is_empty()))
            .then_with(|| self.pre.cmp(&other.pre))
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

pub(super) fn number(text: &str) -> Option<u64> {
    // parse() takes a sign, which a version has not.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

pub(super) fn identifiers(text: &str) -> Option<Vec<Identifier>> {
    text.split('.')
        .map(|part| {
            let fits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let is_number = part.bytes().all(|b| b.is_ascii_digit());
            match (fits, is_number) {
                (true, true) if part.len() > 1 && part.starts_with('0') => None,
                (true, true) => part.parse().ok().map(Identifier::Number),
                (true, false) => Some(Identifier::Word(part.to_owned())),
                (false, _) => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_in_the_order_of_semver_org() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1",
            "v1.0.1",
            "1.2",
            "1.10",
            "20.04",
        ];
        for pair in order.windows(2) {
            let [low, high] = [pair[0], pair[1]].map(|text| Version::parse(text).unwrap());
            assert!(low < high, "{} < {}", pair[0], pair[1]);
        }
        assert_eq!(Version::parse("1.0+a"), Version::parse("v1.0.0+b"));
    }

    #[test]
    fn what_is_no_version_is_none() {
        let long = "9".repeat(30);
        for text in [
            "", "v", "latest", "1.", "1..2", "1.2.3.4", "1.a", "1-", "1-a..b", "1-01", "+1", "1+", "-1",
            &long,
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
