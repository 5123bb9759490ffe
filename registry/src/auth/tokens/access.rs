//! What a token grants: from scopes asked for to scopes given, and to and from the `access` claim (the token
//! specification of the distribution project, "Token Scope Documentation").

use std::collections::BTreeSet;

use berth_oci::auth::{Action, Resource, Scope, Scopes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    auth::{Principal, Subject},
    policy::{Policy, Verb},
};

/// A request for a token names this many scopes at most: a push that mounts from many repositories names many.
pub const MAX_SCOPES: usize = 100;
/// And they are this many bytes together.
pub const MAX_SCOPE_BYTES: usize = 16 << 10;

/// Too much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a token is asked for with {MAX_SCOPES} scopes and {MAX_SCOPE_BYTES} bytes of them at most; ask for several tokens"
)]
pub struct TooMuch;

/// Reads what a client asks for: `scope` parameters, each with scopes separated by spaces. What is no scope
/// grants nothing, and is no error: clients ask for more than there is.
///
/// # Errors
/// When it is too much.
pub fn asked<'t>(parameters: impl IntoIterator<Item = &'t str>) -> Result<Scopes, TooMuch> {
    let (mut scopes, mut count, mut bytes) = (Scopes::default(), 0, 0);
    for text in parameters {
        bytes += text.len();
        for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
            count += 1;
            if count > MAX_SCOPES || bytes > MAX_SCOPE_BYTES {
                return Err(TooMuch);
            }
            scopes.extend(scope.parse::<Scope>().ok());
        }
    }
    Ok(scopes)
}

/// The part of `asked` that the policy gives to `who`. Nothing in it is a wildcard: an asked `*` becomes the
/// verbs that were given, and `push` becomes `push` and, where tags may be moved, `overwrite`.
pub(super) fn granted(policy: &Policy, who: &Principal, asked: &Scopes) -> Vec<Scope> {
    let mut granted = Vec::new();
    for (resource, actions) in asked.iter() {
        let actions: BTreeSet<Action> = match resource {
            Resource::Repository(repo) => {
                let may = |verb: &Verb| policy.decide(who, *verb, Some(repo)).allowed;
                actions.iter().flat_map(verbs).filter(may).map(action).collect()
            }
            Resource::Catalog => {
                let whole = actions.iter().any(|action| matches!(action, Action::All | Action::Pull));
                // Which repositories are in the list is asked of the policy when it is read.
                let may = whole && who.subject != Subject::Anonymous && policy.may_list(who);
                if may { BTreeSet::from([Action::All]) } else { BTreeSet::new() }
            }
            Resource::Other { .. } => BTreeSet::new(),
        };
        if !actions.is_empty() {
            granted.push(Scope { resource: resource.clone(), actions });
        }
    }
    granted
}

fn verbs(action: &Action) -> Vec<Verb> {
    match action {
        Action::Pull => vec![Verb::Pull],
        Action::Push => vec![Verb::Push, Verb::Overwrite],
        Action::Delete => vec![Verb::Delete],
        Action::All => vec![Verb::Pull, Verb::Push, Verb::Overwrite, Verb::Delete],
        Action::Other(name) if name == Verb::Overwrite.as_str() => vec![Verb::Overwrite],
        Action::Other(_) => Vec::new(),
    }
}

fn action(verb: Verb) -> Action {
    match verb {
        Verb::Pull => Action::Pull,
        Verb::Push => Action::Push,
        Verb::Delete => Action::Delete,
        Verb::Overwrite | Verb::Admin => Action::Other(verb.as_str().to_owned()),
    }
}

/// One entry of the claim.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// The claim for these grants.
pub(super) fn to_claim(granted: &[Scope]) -> Value {
    let entry = |scope: &Scope| {
        let text = scope.resource.to_string();
        let (kind, name) = text.split_once(':').unwrap_or((&text, ""));
        let actions = scope.actions.iter().map(|action| action.as_str().to_owned()).collect();
        Entry { kind: kind.to_owned(), name: name.to_owned(), actions }
    };
    let entries: Vec<_> = granted.iter().map(entry).collect();
    serde_json::json!(entries)
}

/// The grants of a claim. An entry that is none, or names no repository there could be, grants nothing.
pub(super) fn from_claim(claim: Option<&Value>) -> Vec<Scope> {
    let entries = claim.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| Entry::deserialize(entry).ok()).filter_map(scope).collect()
}

fn scope(entry: Entry) -> Option<Scope> {
    // Whoever can put a comma or a colon into a name or an action must not get another scope for it: parts
    // are parsed one by one, and never joined.
    let actions = entry.actions.iter().map(|action| action.parse()).collect::<Result<_, _>>().ok()?;
    let resource = match (entry.kind.as_str(), entry.name.as_str()) {
        ("repository", name) => Resource::Repository(name.parse().ok()?),
        ("registry", "catalog") => Resource::Catalog,
        _ => return None,
    };
    Some(Scope { resource, actions })
}

/// What other token servers mean by `push` includes moving tags: they know no word for it.
pub(super) fn push_overwrites(mut granted: Vec<Scope>) -> Vec<Scope> {
    for scope in &mut granted {
        if scope.actions.contains(&Action::Push) {
            scope.actions.insert(action(Verb::Overwrite));
        }
    }
    granted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Authority;

    fn claim_of(granted: &[Scope]) -> String {
        to_claim(granted).to_string()
    }

    fn given(asked_for: &str, who: &Principal) -> Vec<Scope> {
        granted(&Policy::Open, who, &asked([asked_for]).unwrap())
    }

    #[test]
    fn push_asks_for_overwriting_too_and_a_star_becomes_verbs() {
        let everything = Principal::anonymous();
        let push = given("repository:team/app:push,pull", &everything);
        let claim = r#"[{"type":"repository","name":"team/app","actions":["pull","push","overwrite"]}]"#;
        assert_eq!(to_claim(&push), serde_json::from_str::<Value>(claim).unwrap());
        let all = given("repository:team/app:*", &everything);
        assert_eq!(all[0].actions.len(), 4);
        assert!(!all[0].actions.contains(&Action::All));
        assert_eq!(from_claim(Some(&to_claim(&all))), all);
    }

    #[test]
    fn r25_only_what_the_policy_gives_is_granted() {
        let own = vec!["repository:team/app:pull".parse().unwrap()];
        let limited = Principal { authority: Authority::Granted(own.clone()), ..Principal::anonymous() };
        assert_eq!(given("repository:team/app:pull,push,delete", &limited), own);
        assert_eq!(given("repository:team/app:*", &limited), own);
        assert_eq!(given("repository:other:pull", &limited), []);
        assert_eq!(given("registry:catalog:*", &limited), []);
        for injected in [
            "repository:*:*",
            "repository:team/*:pull",
            "repository:team/app:pull repository:other:*",
            "repository:team/app:pull,pull repository:a:b:pull",
            "repository:team/app,other:pull",
            "repository:team/app:pull\"},{\"type\":\"repository\"",
            "repository(plugin):team/app:*",
            "registry:*:*",
            "repository:team/app:admin",
        ] {
            let granted = given(injected, &limited);
            let own_alone = granted.is_empty() || granted == own;
            assert!(own_alone, "{injected}: {}", claim_of(&granted));
        }
    }

    #[test]
    fn r25_a_claim_grants_nothing_that_is_no_repository() {
        for claim in [
            r#"[{"type":"repository","name":"*","actions":["*"]}]"#,
            r#"[{"type":"repository","name":"a:pull,b","actions":["pull"]}]"#,
            r#"[{"type":"repository","name":"a","actions":["pull,push"]}]"#,
            r#"[{"type":"repository","name":"a","actions":"pull"}]"#,
            r#"{"type":"repository","name":"a","actions":["pull"]}"#,
            r#"[{"type":"registry","name":"*","actions":["*"]}]"#,
            r#""repository:a:pull""#,
        ] {
            assert_eq!(from_claim(Some(&serde_json::from_str(claim).unwrap())), [], "{claim}");
        }
        assert_eq!(from_claim(None), []);
    }

    #[test]
    fn more_scopes_than_anybody_needs_are_refused() {
        let scope = "repository:team/app:pull";
        assert!(asked(std::iter::repeat_n(scope, MAX_SCOPES)).is_ok());
        assert_eq!(asked(std::iter::repeat_n(scope, MAX_SCOPES + 1)), Err(TooMuch));
        assert_eq!(asked([vec![scope; MAX_SCOPES + 1].join(" ").as_str()]), Err(TooMuch));
        assert_eq!(
            asked([format!("repository:{}:pull", "a".repeat(MAX_SCOPE_BYTES)).as_str()]),
            Err(TooMuch)
        );
        assert_eq!(asked(["", "nonsense", scope]).unwrap(), asked([scope]).unwrap());
    }
}
