//! Constraints on versions, in the language of `images-by-semver`.
//!
//! Comparisons `= != > < >= <= ~ ^` (also `=>`, `=<`, `~>`), joined by commas or spaces where all must hold and by `||`
//! where one must; ranges `1.2 - 1.4`; `x`, `X` or `*` for any number, which a number that is left out means too.
//! Prereleases fit only where a comparison beside it names one: `>=1.2-0` takes them, `>=1.2` does not.

use super::version::{Version, identifiers, number};

/// Most characters of a constraint.
const MAX_CHARACTERS: usize = 1024;

/// A constraint, read.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// One of these must hold, each of them in all its comparisons.
    any: Vec<Vec<Comparison>>,
}

/// Why a text is no constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no constraint on versions; write for example \">= 1.2, < 2\", \"~1.2\", \"^1\", \"1.2 - 1.4\" or \"1.x || 3\""
)]
pub struct ConstraintError(String);

#[derive(Clone, Debug)]
struct Comparison {
    operator: Operator,
    bound: Version,
    /// How many numbers were given: 0 (`*`) to 3.
    given: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// Longest first, since some begin with others.
const OPERATORS: [(&str, Operator); 11] = [
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("!=", Operator::NotEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl Constraint {
    /// Reads a constraint.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        let fault = || ConstraintError(text.chars().take(80).collect());
        if text.len() > MAX_CHARACTERS {
            return Err(fault());
        }
        let any = text.split("||").map(alternative).collect::<Option<Vec<_>>>().ok_or_else(fault)?;
        Ok(Self { any })
    }

    /// Whether a tag is a version that fits.
    #[must_use]
    pub fn fits(&self, tag: &str) -> bool {
        let Some(version) = Version::parse(tag) else { return false };
        self.any.iter().any(|all| {
            let prereleases = all.iter().any(|comparison| comparison.bound.is_prerelease());
            (prereleases || !version.is_prerelease()) && all.iter().all(|one| one.holds(&version))
        })
    }
}

/// Comparisons that are joined by commas or spaces. An operator may stand apart from its version.
fn alternative(text: &str) -> Option<Vec<Comparison>> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (operator, behind) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((Some(*operator), rest.strip_prefix(sign)?)))
            .unwrap_or((None, rest));
        let behind = behind.trim_start();
        let end = behind.find([' ', '\t', ',', '<', '>', '=', '~', '^', '!']).unwrap_or(behind.len());
        let (word, left) = behind.split_at(end);
        // `1.2 - 1.4`, with spaces around the dash: a dash without them belongs to a prerelease.
        if let (None, Some(upper)) = (operator, left.trim_start().strip_prefix("- ")) {
            let upper = upper.trim_start();
            let end = upper.find([' ', '\t', ',']).unwrap_or(upper.len());
            out.push(comparison(Operator::GreaterOrEqual, word)?);
            out.push(comparison(Operator::LessOrEqual, &upper[..end])?);
            rest = next(&upper[end..])?;
            continue;
        }
        out.push(comparison(operator.unwrap_or(Operator::Equal), word)?);
        rest = next(left)?;
    }
    Some(out)
}

/// What follows a comparison: nothing, or a comma or a space and another one.
fn next(left: &str) -> Option<&str> {
    let trimmed = left.trim_start();
    match trimmed.strip_prefix(',') {
        Some(behind) => Some(behind.trim_start()).filter(|behind| !behind.is_empty()),
        None if trimmed.is_empty() || trimmed.len() < left.len() => Some(trimmed),
        None => None,
    }
}

fn comparison(operator: Operator, word: &str) -> Option<Comparison> {
    let word = word.strip_prefix('v').unwrap_or(word);
    let (word, build) = word.split_once('+').map_or((word, None), |(before, build)| (before, Some(build)));
    let (numbers, pre) = word.split_once('-').map_or((word, None), |(before, pre)| (before, Some(pre)));
    if build.is_some_and(|build| identifiers(build).is_none()) {
        return None;
    }
    let pre = pre.map_or_else(|| Some(Vec::new()), identifiers)?;
    let mut values = [0; 3];
    let mut given = 0;
    let mut any = false;
    for (place, part) in numbers.split('.').enumerate() {
        let value = values.get_mut(place)?;
        if matches!(part, "x" | "X" | "*") {
            any = true;
        } else {
            let read = number(part)?;
            // What stands behind an x means nothing.
            if !any {
                (*value, given) = (read, place + 1);
            }
        }
    }
    let [major, minor, patch] = values;
    Some(Comparison { operator, bound: Version { major, minor, patch, pre }, given })
}

impl Comparison {
    fn holds(&self, version: &Version) -> bool {
        match self.operator {
            Operator::Equal if self.given == 3 => *version == self.bound,
            Operator::Equal | Operator::Tilde => self.tilde(version),
            Operator::NotEqual if self.given == 3 => *version != self.bound,
            Operator::NotEqual => self.given > 0 && !self.shares(version, self.given),
            Operator::Greater if self.given == 3 => *version > self.bound,
            // `>1.2` begins at 1.3: 1.2.5 is a 1.2.
            Operator::Greater => self.given > 0 && *version > self.bound && !self.shares(version, self.given),
            Operator::Less => *version < self.bound,
            Operator::GreaterOrEqual => *version >= self.bound,
            Operator::LessOrEqual if self.given == 3 => *version <= self.bound,
            // `<=1.2` ends before 1.3.
            Operator::LessOrEqual => {
                self.given == 0 || *version <= self.bound || self.shares(version, self.given)
            }
            Operator::Caret => self.caret(version),
        }
    }

    /// Whether the first `count` numbers are the same.
    fn shares(&self, version: &Version, count: usize) -> bool {
        let numbers = |v: &Version| [v.major, v.minor, v.patch];
        numbers(version)[..count] == numbers(&self.bound)[..count]
    }

    /// `~1.2.3` is `>=1.2.3, <1.3`; `~1.2` is `>=1.2, <1.3`; `~1` is `>=1, <2`.
    fn tilde(&self, version: &Version) -> bool {
        *version >= self.bound && self.shares(version, self.given.min(2))
    }

    /// Up to the next change of the leftmost number that is not 0.
    fn caret(&self, version: &Version) -> bool {
        let bound = &self.bound;
        let fixed = match (self.given, bound.major, bound.minor) {
            (0, ..) => 0,
            (1, ..) => 1,
            (_, major, _) if major > 0 => 1,
            (2, ..) => 2,
            (_, _, minor) if minor > 0 => 2,
            _ => 3,
        };
        *version >= *bound && self.shares(version, fixed)
    }
}

#[cfg(test)]
mod tests;
