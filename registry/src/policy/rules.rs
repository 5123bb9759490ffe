//! The rules in force, and what they say.

use berth_oci::{RepoName, Tag};
use serde::Serialize;

use super::{
    Decision,
    rule::{Compiled, Effect, Rule},
    verb::{Verb, Verbs},
};
use crate::auth::Principal;

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// There is no other.
    #[serde(rename = "built-in")]
    BuiltIn,
    /// `[[policy.rules]]`.
    Configuration,
    /// Added at run time.
    Catalog,
}

impl Source {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Configuration => "configuration",
            Self::Catalog => "catalog",
        }
    }
}

/// All rules, ready to be asked. Nothing is allowed that no rule allows, and what a rule denies no other allows.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<(Source, Compiled)>,
}

/// A rule that would have allowed it, but for one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Near {
    /// The rule's name.
    pub rule: String,
    /// What does not fit: `subjects`, `verbs` or `repositories`.
    pub but: &'static str,
}

/// What holds where nobody wrote a rule: whoever is known may read and write, nobody may delete or administer
/// but administrators, and anonymous callers may nothing.
fn built_in() -> Rule {
    Rule {
        name: "default".to_owned(),
        effect: Effect::Allow,
        subjects: vec!["authenticated".to_owned()],
        verbs: Verbs::of(&[Verb::Pull, Verb::Push, Verb::Overwrite]),
        repositories: vec!["**".to_owned()],
        tags: Vec::new(),
    }
}

impl Rules {
    /// From the rules of the configuration and those of the catalog.
    ///
    /// # Errors
    /// Everything that is wrong with one of them: a rule that is left out might be the one that denies.
    pub fn new(configured: &[Rule], kept: &[Rule]) -> Result<Self, Vec<String>> {
        let built_in = [built_in()];
        let lists: [(Source, &[Rule]); 2] = if configured.is_empty() && kept.is_empty() {
            [(Source::BuiltIn, &built_in), (Source::Catalog, &[])]
        } else {
            [(Source::Configuration, configured), (Source::Catalog, kept)]
        };
        let (mut rules, mut faults) = (Vec::new(), Vec::new());
        for (source, rule) in
            lists.iter().flat_map(|(source, list)| list.iter().map(move |rule| (*source, rule)))
        {
            match rule.compile() {
                Ok(compiled) => rules.push((source, compiled)),
                Err(more) => faults.extend(more.iter().map(|fault| format!("rule {:?}: {fault}", rule.name))),
            }
        }
        if faults.is_empty() { Ok(Self { rules }) } else { Err(faults) }
    }

    /// Each rule and where it comes from.
    pub fn iter(&self) -> impl Iterator<Item = (Source, &Rule)> {
        self.rules.iter().map(|(source, compiled)| (*source, &compiled.rule))
    }

    pub(super) fn decide(
        &self,
        who: &Principal,
        verb: Verb,
        repo: Option<&RepoName>,
        tag: Option<&Tag>,
    ) -> Decision {
        let mut allowing = None;
        for (source, rule) in &self.rules {
            if !rule.has(verb) || !rule.covers(repo) || !rule.covers_tag(tag) || !rule.is_about(who) {
                continue;
            }
            if rule.rule.effect == Effect::Deny {
                return Decision::by(false, *source, &rule.rule);
            }
            allowing = allowing.or(Some((source, rule)));
        }
        match allowing {
            Some((source, rule)) => Decision::by(true, *source, &rule.rule),
            None => Decision::new(false, "no rule allows it"),
        }
    }

    /// The rule that keeps a tag as it is whatever else somebody holds: one that denies and is about tags.
    pub(super) fn keeps(&self, who: &Principal, verb: Verb, repo: &RepoName, tag: &Tag) -> Option<Decision> {
        let keeps = |rule: &Compiled| {
            !rule.rule.tags.is_empty()
                && rule.has(verb)
                && rule.covers(Some(repo))
                && rule.covers_tag(Some(tag))
                && rule.is_about(who)
        };
        let (source, rule) = self.rules.iter().find(|(_, rule)| keeps(rule))?;
        Some(Decision::by(false, *source, &rule.rule))
    }

    /// Whether some rule is about the group.
    pub(super) fn name_group(&self, group: &str) -> bool {
        self.rules.iter().any(|(_, rule)| rule.names_group(group))
    }

    /// Allowing rules that miss by one thing, for people who wonder.
    pub(super) fn nearest(&self, who: &Principal, verb: Verb, repo: Option<&RepoName>) -> Vec<Near> {
        let near = |(_, rule): &(Source, Compiled)| {
            let fits = [rule.is_about(who), rule.has(verb), rule.covers(repo)];
            let but = match fits {
                [false, true, true] => "subjects",
                [true, false, true] => "verbs",
                [true, true, false] => "repositories",
                _ => return None,
            };
            let allows = rule.rule.effect == Effect::Allow;
            allows.then(|| Near { rule: rule.rule.name.clone(), but })
        };
        self.rules.iter().filter_map(near).collect()
    }

    /// What the names of all repositories begin with that somebody may do something with; in order, none within
    /// another.
    pub(super) fn prefixes(&self, who: &Principal, verb: Verb) -> Vec<String> {
        let allowing = self.rules.iter().map(|(_, rule)| rule);
        let allowing =
            allowing.filter(|rule| rule.rule.effect == Effect::Allow && rule.has(verb) && rule.is_about(who));
        let mut prefixes: Vec<String> = allowing.flat_map(Compiled::prefixes).map(str::to_owned).collect();
        prefixes.sort_unstable();
        // Sorted, whatever begins with one comes right behind it.
        prefixes.dedup_by(|next, kept| next.starts_with(kept.as_str()));
        prefixes
    }

    /// Rules that change nothing, with why.
    #[must_use]
    pub fn idle(&self) -> Vec<(String, String)> {
        let within = |inner: &Rule, outer: &Rule| {
            let listed = |inner: &[String], outer: &[String], all: &str| {
                inner.iter().all(|entry| entry == all || outer.contains(entry))
                    || outer.iter().any(|entry| entry == all)
            };
            inner.verbs.is_within(outer.verbs)
                && listed(&inner.subjects, &outer.subjects, "everyone")
                && listed(&inner.repositories, &outer.repositories, "**")
                && (outer.tags.is_empty()
                    || (!inner.tags.is_empty() && listed(&inner.tags, &outer.tags, "*")))
        };
        let rules: Vec<&Rule> = self.iter().map(|(_, rule)| rule).collect();
        let mut idle = Vec::new();
        for (at, rule) in rules.iter().enumerate() {
            let others = rules.iter().enumerate().filter(|(other, _)| *other != at);
            let cover = others.into_iter().find(|(other, cover)| {
                let stronger = cover.effect == Effect::Deny || rule.effect == Effect::Allow;
                // Of two that say the same, the second is the one too many.
                stronger
                    && within(rule, cover)
                    && (!(cover.effect == rule.effect && within(cover, rule)) || *other < at)
            });
            if let Some((_, cover)) = cover {
                let why = if cover.effect == rule.effect { "says as much" } else { "denies all of it" };
                idle.push((rule.name.clone(), format!("rule {} {why}", cover.name)));
            }
        }
        idle
    }
}
