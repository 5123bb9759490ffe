//! One rule: how it is written, and how it is matched.

use berth_oci::{RepoName, Tag};
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use super::{
    subject::Pattern,
    verb::{Verb, Verbs},
};
use crate::{auth::Principal, glob};

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It lets them.
    #[default]
    Allow,
    /// It stops them, whatever other rules allow.
    Deny,
}

/// A rule as it is written: in `[[policy.rules]]`, in the catalog, on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is called; no two rules have one name.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub effect: Effect,
    /// Whom it is about: `user:alice`, `group:dev`, `robot:team/*`, `anonymous`, …
    pub subjects: Vec<String>,
    /// What they may or may not do.
    pub verbs: Verbs,
    /// With which repositories: `team/app`, `team/*` (one level), `team/**` (all below), `**` (everything).
    pub repositories: Vec<String>,
    /// For denying rules about `overwrite` and `delete`: only tags like these, as `v*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// Characters of a name at most.
const LONGEST_NAME: usize = 64;
/// Subjects, repositories or tags of one rule at most.
const MOST: usize = 256;

/// A rule that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    pub(super) rule: Rule,
    subjects: Vec<Pattern>,
    repositories: Vec<Repositories>,
}

#[derive(Clone, Debug)]
enum Repositories {
    /// `**`
    All,
    Like(GlobMatcher),
}

impl Rule {
    /// Everything that is wrong with it, as sentences.
    ///
    /// # Errors
    /// When there is something.
    pub fn check(&self) -> Result<(), Vec<String>> {
        self.compile().map(|_| ())
    }

    pub(super) fn compile(&self) -> Result<Compiled, Vec<String>> {
        let mut faults = Vec::new();
        let named = (1..=LONGEST_NAME).contains(&self.name.len())
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && !self.name.starts_with('.');
        if !named {
            faults.push(format!(
                "{:?} is no name of a rule: up to {LONGEST_NAME} letters, digits, -, _ and ., no . first",
                self.name
            ));
        }
        for (what, list) in [("subjects", &self.subjects), ("repositories", &self.repositories)] {
            if list.is_empty() {
                faults.push(format!("{what} is empty, so the rule is about nothing"));
            }
        }
        for (what, list) in
            [("subjects", &self.subjects), ("repositories", &self.repositories), ("tags", &self.tags)]
        {
            if list.len() > MOST {
                faults.push(format!("{what} has more than {MOST} entries; make several rules of it"));
            }
        }
        if self.verbs.is_empty() {
            faults.push("verbs is empty, so the rule is about nothing".to_owned());
        }
        self.check_tags(&mut faults);
        let mut gather = |part: Result<_, String>| part.map_err(|fault| faults.push(fault)).ok();
        let subjects: Vec<_> = self.subjects.iter().filter_map(|text| gather(Pattern::parse(text))).collect();
        let mut gather = |part: Result<_, String>| part.map_err(|fault| faults.push(fault)).ok();
        let repositories: Vec<_> =
            self.repositories.iter().filter_map(|text| gather(repositories(text))).collect();
        if faults.is_empty() {
            Ok(Compiled { rule: self.clone(), subjects, repositories })
        } else {
            Err(faults)
        }
    }

    fn check_tags(&self, faults: &mut Vec<String>) {
        if self.tags.is_empty() {
            return;
        }
        if self.effect == Effect::Allow {
            faults.push(
                "tags is for denying rules alone: allow overwrite, and deny it for the tags that must stay"
                    .to_owned(),
            );
        }
        if !self.verbs.is_within(Verbs::of(&[Verb::Overwrite, Verb::Delete])) {
            faults.push("a rule with tags is about \"overwrite\" and \"delete\" alone".to_owned());
        }
        for tag in self.tags.iter().filter(|tag| tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_graphic()))
        {
            faults.push(format!("{tag:?} is no pattern of tags like \"v*\""));
        }
    }
}

fn repositories(pattern: &str) -> Result<Repositories, String> {
    if pattern == "**" {
        return Ok(Repositories::All);
    }
    let fault = |why: &str| {
        format!("{pattern:?} is no pattern of repositories like \"team/app\", \"team/*\" or \"team/**\"{why}")
    };
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/*?[]{},!".contains(c);
    if pattern.is_empty() || pattern.len() > 512 || !pattern.chars().all(known) {
        return Err(fault(""));
    }
    if pattern.starts_with('/') || pattern.ends_with('/') {
        return Err(fault(": it begins and ends without a slash"));
    }
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(false).build();
    glob.map(|glob| Repositories::Like(glob.compile_matcher()))
        .map_err(|error| fault(&format!(": {}", error.kind())))
}

impl Repositories {
    fn fits(&self, repo: &RepoName) -> bool {
        match self {
            Self::All => true,
            Self::Like(glob) => glob.is_match(repo.as_str()),
        }
    }
}

impl Compiled {
    pub(super) fn is_about(&self, who: &Principal) -> bool {
        self.subjects.iter().any(|subject| match self.rule.effect {
            Effect::Allow => subject.allows(who),
            Effect::Deny => subject.names(who),
        })
    }

    pub(super) fn names_group(&self, group: &str) -> bool {
        self.subjects.iter().any(|subject| subject.names_group(group))
    }

    pub(super) fn has(&self, verb: Verb) -> bool {
        self.rule.verbs.has(verb)
    }

    /// Whether it is about the repository; without one, whether about the registry as a whole: an allowing rule is
    /// when it takes in every repository, a denying one when it takes away any.
    pub(super) fn covers(&self, repo: Option<&RepoName>) -> bool {
        match repo {
            Some(repo) => self.repositories.iter().any(|repositories| repositories.fits(repo)),
            None => {
                self.rule.effect == Effect::Deny
                    || self.repositories.iter().any(|repositories| matches!(repositories, Repositories::All))
            }
        }
    }

    /// Whether it holds for the tag: a rule without tags holds for all, one with tags for no request without.
    pub(super) fn covers_tag(&self, tag: Option<&Tag>) -> bool {
        self.rule.tags.is_empty()
            || tag
                .is_some_and(|tag| self.rule.tags.iter().any(|pattern| glob::matches(pattern, tag.as_str())))
    }

    /// What the names of its repositories begin with, for each pattern.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.rule.repositories.iter().map(|pattern| {
            let end = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
            &pattern[..end]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, repo: &str) -> bool {
        repositories(pattern).unwrap().fits(&repo.parse().unwrap())
    }

    #[test]
    fn a_star_stays_in_its_segment_and_two_go_on() {
        for (pattern, repo, expected) in [
            ("team/*", "team/app", true),
            ("team/*", "team/app/web", false),
            ("team/**", "team/app", true),
            ("team/**", "team/app/web", true),
            ("team/**", "team", false),
            ("team/**", "teams/app", false),
            ("team*", "teams", true),
            ("**", "a/b/c", true),
            ("**/web", "web", true),
            ("**/web", "a/b/web", true),
            ("a/**/web", "a/b/c/web", true),
            ("{a,b}/*", "b/x", true),
            ("app-[0-9]", "app-7", true),
            ("app-?", "app-/", false),
            ("team/app", "team/app", true),
            ("team/app", "team/app2", false),
        ]
        .into_iter()
        .filter(|(_, repo, _)| repo.parse::<RepoName>().is_ok())
        {
            assert_eq!(fits(pattern, repo), expected, "{pattern} {repo}");
        }
    }

    fn rule() -> Rule {
        Rule {
            name: "r".to_owned(),
            effect: Effect::Deny,
            subjects: vec!["everyone".to_owned()],
            verbs: Verbs::of(&[Verb::Overwrite]),
            repositories: vec!["**".to_owned()],
            tags: Vec::new(),
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let wrong = Rule {
            name: "a b".to_owned(),
            effect: Effect::Allow,
            subjects: vec!["alice".to_owned()],
            verbs: Verbs::default(),
            repositories: vec!["Team/**".to_owned(), "a/".to_owned(), "[".to_owned()],
            tags: vec!["v*".to_owned()],
        };
        let faults = wrong.check().unwrap_err();
        assert_eq!(faults.len(), 7, "{faults:#?}");
        assert!(rule().check().is_ok());
        assert!(Rule { subjects: Vec::new(), ..rule() }.check().is_err());
        assert!(Rule { tags: vec!["v*".to_owned()], verbs: Verbs::ALL, ..rule() }.check().is_err());
    }

    #[test]
    fn a_rule_reads_as_people_write_it() {
        let toml = "name = \"devs\"\nsubjects = [\"group:dev\"]\nverbs = [\"pull\", \"push\"]\nrepositories = [\"team/**\"]";
        let read: Rule = toml::from_str(toml).unwrap();
        assert_eq!((read.effect, read.tags.len()), (Effect::Allow, 0));
        assert_eq!(toml::from_str::<Rule>(&toml::to_string(&read).unwrap()).unwrap(), read);
        assert!(toml::from_str::<Rule>(&toml.replace("push", "shove")).is_err());
        assert!(toml::from_str::<Rule>(&format!("{toml}\nverb = 1")).is_err());
        let all: Rule = toml::from_str(&toml.replace("\"push\"", "\"*\"")).unwrap();
        assert_eq!(all.verbs, Verbs::ALL);
    }
}
