//! Who a rule is about.

use std::fmt;

use crate::{
    auth::{Principal, Subject},
    glob,
};

/// One entry of a rule's `subjects`. `*` in a name stands for any characters, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `anonymous`: nobody said who they are. What a rule allows them it allows everybody: nobody loses a right
    /// by logging in.
    Anonymous,
    /// `authenticated`: users, robots and holders of certificates. Not `ci:`, since an outside issuer vouches for
    /// programs of people whom nobody here knows.
    Authenticated,
    /// `everyone`, anonymous or not.
    Everyone,
    /// `user:NAME`.
    User(String),
    /// `group:NAME`: whoever is in it.
    Group(String),
    /// `robot:NAME`.
    Robot(String),
    /// `ci:ISSUER:NAME`.
    Federated { issuer: String, name: String },
    /// `cert:NAME`.
    Certificate(String),
}

const FORMS: &str = "anonymous, authenticated, everyone, user:NAME, group:NAME, robot:NAME, ci:ISSUER:NAME or \
                     cert:NAME, where * in a name stands for any characters";

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is no subject: write {FORMS}");
        if text.chars().any(char::is_control) {
            return Err(fault());
        }
        match text {
            "anonymous" => return Ok(Self::Anonymous),
            "authenticated" => return Ok(Self::Authenticated),
            "everyone" => return Ok(Self::Everyone),
            _ => {}
        }
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(fault)?;
        let name = name.to_owned();
        match kind {
            "user" => Ok(Self::User(name)),
            "group" => Ok(Self::Group(name)),
            "robot" => Ok(Self::Robot(name)),
            "cert" => Ok(Self::Certificate(name)),
            "ci" => match name.split_once(':') {
                Some((issuer, name)) if !issuer.is_empty() && !name.is_empty() => {
                    Ok(Self::Federated { issuer: issuer.to_owned(), name: name.to_owned() })
                }
                _ => Err(fault()),
            },
            _ => Err(fault()),
        }
    }

    /// Whether an allowing rule for this subject is one for `who`.
    pub(super) fn allows(&self, who: &Principal) -> bool {
        matches!(self, Self::Anonymous) || self.names(who)
    }

    /// Whether this subject names `who`, as a denying rule must.
    pub(super) fn names(&self, who: &Principal) -> bool {
        match (self, &who.subject) {
            (Self::Everyone, _)
            | (Self::Anonymous, Subject::Anonymous)
            | (
                Self::Authenticated,
                Subject::User(_) | Subject::Robot(_) | Subject::Certificate(_) | Subject::Local,
            ) => true,
            (Self::User(pattern), Subject::User(name))
            | (Self::Robot(pattern), Subject::Robot(name))
            | (Self::Certificate(pattern), Subject::Certificate(name)) => glob::matches(pattern, name),
            (Self::Federated { issuer, name }, Subject::Federated { issuer: at, name: who }) => {
                glob::matches(issuer, at) && glob::matches(name, who)
            }
            (Self::Group(pattern), _) => who.groups.iter().any(|group| glob::matches(pattern, group)),
            _ => false,
        }
    }

    /// Whether it names the group.
    pub(super) fn names_group(&self, group: &str) -> bool {
        matches!(self, Self::Group(pattern) if glob::matches(pattern, group))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::Everyone => f.write_str("everyone"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Robot(name) => write!(f, "robot:{name}"),
            Self::Federated { issuer, name } => write!(f, "ci:{issuer}:{name}"),
            Self::Certificate(name) => write!(f, "cert:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(subject: Subject, groups: &[&str]) -> Principal {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Principal { subject, groups, ..Principal::default() }
    }

    fn ci(name: &str) -> Subject {
        Subject::Federated { issuer: "github".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_subject_names_those_of_its_kind() {
        let alice = who(Subject::User("alice".to_owned()), &["dev", "ops/eu"]);
        let robot = who(Subject::Robot("team/ci".to_owned()), &[]);
        let action = who(ci("octo/app"), &[]);
        for (pattern, principal, names) in [
            ("user:alice", &alice, true),
            ("user:al*", &alice, true),
            ("user:bob", &alice, false),
            ("robot:alice", &alice, false),
            ("group:dev", &alice, true),
            ("group:ops/*", &alice, true),
            ("group:alice", &alice, false),
            ("robot:team/*", &robot, true),
            ("robot:other/*", &robot, false),
            ("user:*", &robot, false),
            ("ci:github:octo/*", &action, true),
            ("ci:gitlab:octo/*", &action, false),
            ("cert:*", &action, false),
            ("everyone", &action, true),
            ("authenticated", &robot, true),
            ("authenticated", &alice, true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().names(principal), names, "{pattern} {principal:?}");
            assert_eq!(Pattern::parse(pattern).unwrap().to_string(), pattern);
        }
    }

    #[test]
    fn an_outside_issuer_makes_nobody_authenticated() {
        assert!(!Pattern::Authenticated.names(&who(ci("evil/fork"), &[])));
        assert!(!Pattern::Authenticated.names(&Principal::anonymous()));
    }

    #[test]
    fn what_anonymous_may_everybody_may_and_what_it_may_not_is_its_own() {
        let alice = who(Subject::User("alice".to_owned()), &[]);
        assert!(Pattern::Anonymous.allows(&alice));
        assert!(!Pattern::Anonymous.names(&alice));
        assert!(Pattern::Anonymous.names(&Principal::anonymous()));
    }

    #[test]
    fn what_is_no_subject_is_told_the_forms() {
        for wrong in ["alice", "user:", "ci:github", "ci::x", "ci:github:", "Anonymous", "user:a\nb", ""] {
            assert!(Pattern::parse(wrong).unwrap_err().contains("is no subject: write anonymous"), "{wrong}");
        }
    }
}
