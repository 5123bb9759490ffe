//! What somebody may do: one function for `/v2/`, `/api/` and whatever else there will be.

use berth_oci::{
    RepoName,
    auth::{Action, Resource, Scope},
};

use crate::auth::{Authority, Principal, Subject};

/// Something that a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Read.
    Pull,
    /// Write; a tag that is there stays where it points.
    Push,
    /// Move a tag that is there.
    Overwrite,
    /// Delete.
    Delete,
    /// Administer: users, rules, collection.
    Admin,
}

impl Verb {
    /// As rules and scopes call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }
}

/// An answer, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be.
    pub allowed: bool,
    /// The rule that decided, in words.
    pub rule: String,
}

/// The rules in force.
#[derive(Clone, Debug, Default)]
pub enum Policy {
    /// Everybody may do everything: loopback, or `server.insecure_open`.
    #[default]
    Open,
}

impl Policy {
    /// Whether somebody may do something with a repository; `None` asks about the registry as a whole.
    #[must_use]
    pub fn decide(&self, who: &Principal, verb: Verb, repo: Option<&RepoName>) -> Decision {
        if who.subject == Subject::Local {
            return Decision { allowed: true, rule: "whoever owns the data directory".to_owned() };
        }
        if who.admin && who.authority == Authority::Policy {
            return Decision { allowed: true, rule: "administrators may do everything".to_owned() };
        }
        match (&who.authority, self) {
            (Authority::Granted(scopes), _) => {
                let allowed = repo.is_some_and(|repo| scopes.iter().any(|scope| grants(scope, verb, repo)));
                Decision { allowed, rule: "the token's grants".to_owned() }
            }
            (Authority::Policy, Self::Open) => {
                Decision { allowed: true, rule: "no authentication is configured".to_owned() }
            }
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
