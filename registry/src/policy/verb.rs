//! What rules allow.

use serde::{Deserialize, Serialize};

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
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pull, Self::Push, Self::Overwrite, Self::Delete, Self::Admin];

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

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == name)
    }
}

/// A set of verbs. In a rule `["*"]` stands for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Verbs(u8);

impl Verbs {
    /// Every verb there is.
    pub const ALL: Self = Self(0b1_1111);

    /// These verbs.
    #[must_use]
    pub fn of(verbs: &[Verb]) -> Self {
        Self(verbs.iter().fold(0, |bits, verb| bits | bit(*verb)))
    }

    /// Whether the verb is in the set.
    #[must_use]
    pub fn has(self, verb: Verb) -> bool {
        self.0 & bit(verb) != 0
    }

    /// Whether no verb is.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every verb of this set is in the other.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

const fn bit(verb: Verb) -> u8 {
    1 << verb as u8
}

impl TryFrom<Vec<String>> for Verbs {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let mut verbs = Self::default();
        for name in names {
            let more = match Verb::named(&name) {
                Some(verb) => Self::of(&[verb]),
                None if name == "*" => Self::ALL,
                None => {
                    return Err(format!(
                        "{name:?} is none of \"pull\", \"push\", \"overwrite\", \"delete\", \"admin\", \"*\""
                    ));
                }
            };
            verbs.0 |= more.0;
        }
        Ok(verbs)
    }
}

impl From<Verbs> for Vec<String> {
    fn from(verbs: Verbs) -> Self {
        if verbs == Verbs::ALL {
            return vec!["*".to_owned()];
        }
        Verb::ALL.into_iter().filter(|verb| verbs.has(*verb)).map(|verb| verb.as_str().to_owned()).collect()
    }
}
