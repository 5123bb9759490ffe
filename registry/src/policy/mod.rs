//! What somebody may do: one function for `/v2/`, `/api/` and whatever else there will be.
//!
//! Rules say who may do what with which repositories. Nothing is allowed that no rule allows; a rule
//! that denies goes before all that allow. They come from the configuration and from the catalog, are
//! held in memory, and are exchanged as a whole: no request waits for a database to be allowed.

mod listing;
mod live;
mod rule;
mod rules;
mod subject;
#[cfg(test)]
mod tests;
mod verb;

use berth_oci::{
    RepoName, Tag,
    auth::{Action, Resource, Scope},
};
use serde::Serialize;

pub use self::{
    live::{Live, RuleFaults},
    rule::{Effect, Rule},
    rules::{Near, Rules, Source},
    verb::{Verb, Verbs},
};
use crate::auth::{Authority, Principal, Subject};

/// An answer, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Whether it may be.
    pub allowed: bool,
    /// What decided, in words.
    pub rule: String,
    /// Where the rule comes from that decided, if it was one.
    pub source: Option<Source>,
}

impl Decision {
    fn new(allowed: bool, why: &str) -> Self {
        Self { allowed, rule: why.to_owned(), source: None }
    }

    fn by(allowed: bool, source: Source, rule: &Rule) -> Self {
        Self { allowed, rule: rule.name.clone(), source: Some(source) }
    }
}

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub enum Policy {
    /// Everybody may do everything: loopback, or `server.insecure_open`.
    #[default]
    Open,
    /// What these rules say.
    Rules(Live),
}

impl Policy {
    /// Whether somebody may do something with a repository; `None` asks about the registry as a whole.
    #[must_use]
    pub fn decide(&self, who: &Principal, verb: Verb, repo: Option<&RepoName>) -> Decision {
        self.decide_tag(who, verb, repo, None)
    }

    /// As [`Policy::decide`], for one tag of the repository: some rules keep tags as they are.
    #[must_use]
    pub fn decide_tag(
        &self,
        who: &Principal,
        verb: Verb,
        repo: Option<&RepoName>,
        tag: Option<&Tag>,
    ) -> Decision {
        if who.subject == Subject::Local {
            return Decision::new(true, "whoever owns the data directory may do everything");
        }
        if who.by_token && verb == Verb::Admin {
            return Decision::new(false, "a token administers nothing; log in with a password");
        }
        if who.admin && who.authority == Authority::Policy {
            return Decision::new(true, "administrators may do everything");
        }
        match (&who.authority, self) {
            (Authority::Granted(scopes), _) => {
                let granted = repo.is_some_and(|repo| scopes.iter().any(|scope| grants(scope, verb, repo)));
                // A token says what its holder may do with a repository; which tags stay is the rules' to say.
                let kept = match (self, repo, tag) {
                    (Self::Rules(live), Some(repo), Some(tag)) if granted => {
                        live.rules().keeps(who, verb, repo, tag)
                    }
                    _ => None,
                };
                kept.unwrap_or_else(|| Decision::new(granted, "the token's grants"))
            }
            (Authority::Policy, Self::Open) => Decision::new(true, "no authentication is configured"),
            (Authority::Policy, Self::Rules(live)) => live.rules().decide(who, verb, repo, tag),
        }
    }

    /// Whether somebody may have the list of repositories; only those that they may pull are in it.
    #[must_use]
    pub fn may_list(&self, who: &Principal) -> bool {
        let listed =
            |scope: &Scope| scope.resource == Resource::Catalog && scope.actions.contains(&Action::All);
        match &who.authority {
            Authority::Policy => true,
            Authority::Granted(scopes) => scopes.iter().any(listed),
        }
    }

    /// What the names of all repositories begin with that somebody may see in a list; in order, none within
    /// another.
    fn visible(&self, who: &Principal) -> Vec<String> {
        match self {
            Self::Rules(live) if !self.sees_all(who) => live.rules().prefixes(who, Verb::Pull),
            Self::Rules(_) | Self::Open => vec![String::new()],
        }
    }

    /// Whether somebody may see a repository in a list. A token that grants the list itself names no repositories,
    /// so there it is the rules that say which.
    #[must_use]
    pub fn sees(&self, who: &Principal, repo: &RepoName) -> bool {
        match self {
            Self::Rules(live) if !self.sees_all(who) => {
                live.rules().decide(who, Verb::Pull, Some(repo), None).allowed
            }
            Self::Rules(_) | Self::Open => true,
        }
    }

    /// Administrators do by a token, too: whether it is good for lists is [`Policy::may_list`]'s to say.
    fn sees_all(&self, who: &Principal) -> bool {
        matches!(self, Self::Open) || who.subject == Subject::Local || who.admin
    }

    /// Those of somebody's groups that a rule is about: what a token has to say of its holder, so that such a rule
    /// holds for them when they come with it.
    #[must_use]
    pub fn named_groups(&self, who: &Principal) -> Vec<String> {
        match self {
            Self::Open => Vec::new(),
            Self::Rules(live) => {
                let rules = live.rules();
                who.groups.iter().filter(|group| rules.name_group(group)).cloned().collect()
            }
        }
    }

    /// Rules that would have allowed it, but for one thing.
    #[must_use]
    pub fn nearest(&self, who: &Principal, verb: Verb, repo: Option<&RepoName>) -> Vec<Near> {
        match self {
            Self::Open => Vec::new(),
            Self::Rules(live) => live.rules().nearest(who, verb, repo),
        }
    }
}

fn grants(scope: &Scope, verb: Verb, repo: &RepoName) -> bool {
    scope.resource == Resource::Repository(repo.clone())
        && scope.actions.iter().any(|action| match action {
            Action::All => true,
            Action::Pull => verb == Verb::Pull,
            Action::Push => verb == Verb::Push,
            Action::Delete => verb == Verb::Delete,
            Action::Other(name) => name == verb.as_str(),
        })
}
