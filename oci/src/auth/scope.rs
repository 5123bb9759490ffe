//! Scopes: what a token allows on what (the token specification of the distribution project,
//! "Token Scope Documentation").

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use crate::{NameError, RepoName};

/// Something that one may have access to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// `repository:NAME`.
    Repository(RepoName),
    /// `registry:catalog`: the list of repositories.
    Catalog,
    /// A type that Berth does not know (`repository(plugin)`, an extension's).
    Other {
        /// The type: letters, digits, and a class in parentheses.
        kind: String,
        /// The name; it may contain colons.
        name: String,
    },
}

/// Something that one may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Remove.
    Delete,
    /// `*`: all that can be done.
    All,
    /// One that Berth does not know.
    Other(String),
}

/// A resource and what may be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The resource.
    pub resource: Resource,
    /// The actions; none is allowed and grants nothing.
    pub actions: BTreeSet<Action>,
}

/// Why a text is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not of three parts, or a part has characters that it may not have.
    #[error("a scope has the form type:name:action,action, like repository:library/ubuntu:pull,push")]
    Form,
    /// A repository's name is none.
    #[error("the scope's repository: {0}")]
    Name(#[from] NameError),
}

impl Action {
    /// The action as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::All => "*",
            Self::Other(text) => text,
        }
    }
}

impl FromStr for Action {
    type Err = ScopeError;

    fn from_str(s: &str) -> Result<Self, ScopeError> {
        match s {
            "pull" => Ok(Self::Pull),
            "push" => Ok(Self::Push),
            "delete" => Ok(Self::Delete),
            "*" => Ok(Self::All),
            _ if !s.is_empty() && s.bytes().all(is_word) => Ok(Self::Other(s.to_owned())),
            _ => Err(ScopeError::Form),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

impl Resource {
    fn new(kind: &str, name: &str) -> Result<Self, ScopeError> {
        if kind == "repository" {
            return Ok(Self::Repository(name.parse()?));
        }
        if (kind, name) == ("registry", "catalog") {
            return Ok(Self::Catalog);
        }
        let (word, class) = match kind.strip_suffix(')') {
            Some(rest) => rest.split_once('(').ok_or(ScopeError::Form)?,
            None => (kind, "-"),
        };
        let plain = |part: &str| !part.is_empty() && part.bytes().all(is_word);
        let fits = plain(word)
            && plain(class)
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
        if !fits {
            return Err(ScopeError::Form);
        }
        Ok(Self::Other { kind: kind.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(name) => write!(f, "repository:{name}"),
            Self::Catalog => f.write_str("registry:catalog"),
            Self::Other { kind, name } => write!(f, "{kind}:{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(s: &str) -> Result<Self, ScopeError> {
        // A name may hold a host with a port, so the first and the last colon are the ones that count.
        let (kind, rest) = s.split_once(':').ok_or(ScopeError::Form)?;
        let (name, actions) = rest.rsplit_once(':').ok_or(ScopeError::Form)?;
        let actions = if actions.is_empty() {
            BTreeSet::new()
        } else {
            actions.split(',').map(str::parse).collect::<Result<_, _>>()?
        };
        Ok(Self { resource: Resource::new(kind, name)?, actions })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, &self.resource, &self.actions)
    }
}

fn write(f: &mut fmt::Formatter<'_>, resource: &Resource, actions: &BTreeSet<Action>) -> fmt::Result {
    let actions: Vec<&str> = actions.iter().map(Action::as_str).collect();
    write!(f, "{resource}:{}", actions.join(","))
}

/// A set of scopes: at most one entry for each resource, none without actions. Displays in a stable
/// order, separated by spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeMap<Resource, BTreeSet<Action>>);

impl Scopes {
    /// Adds what `scope` allows.
    pub fn insert(&mut self, scope: Scope) {
        if !scope.actions.is_empty() {
            self.0.entry(scope.resource).or_default().extend(scope.actions);
        }
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Resource, &BTreeSet<Action>)> {
        self.0.iter()
    }

    /// Whether `action` on `resource` is allowed; [`Action::All`] there allows every action.
    #[must_use]
    pub fn allows(&self, resource: &Resource, action: &Action) -> bool {
        self.0.get(resource).is_some_and(|own| own.contains(action) || own.contains(&Action::All))
    }

    /// Whether `other` allows all that this does.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.pairs().all(|(resource, action)| other.allows(resource, action))
    }

    /// What either allows.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.extend(other.0.into_iter().map(|(resource, actions)| Scope { resource, actions }));
        self
    }

    /// What both allow: a token's scopes, of those asked for and those granted.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (one, two) in [(self, other), (other, self)] {
            for (resource, action) in one.pairs().filter(|(resource, action)| two.allows(resource, action)) {
                both.0.entry(resource.clone()).or_default().insert(action.clone());
            }
        }
        both
    }

    fn pairs(&self) -> impl Iterator<Item = (&Resource, &Action)> {
        self.0.iter().flat_map(|(resource, actions)| actions.iter().map(move |action| (resource, action)))
    }
}

impl Extend<Scope> for Scopes {
    fn extend<I: IntoIterator<Item = Scope>>(&mut self, scopes: I) {
        scopes.into_iter().for_each(|scope| self.insert(scope));
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut all = Self::default();
        all.extend(scopes);
        all
    }
}

impl FromStr for Scopes {
    type Err = ScopeError;

    /// Takes scopes separated by spaces; an empty text is the empty set.
    fn from_str(s: &str) -> Result<Self, ScopeError> {
        s.split(' ').filter(|scope| !scope.is_empty()).map(str::parse).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (resource, actions)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write(f, resource, actions)?;
        }
        Ok(())
    }
}
