//! What containers and their states are called.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::RuntimeError;

/// The name of a container: 1 to 1024 of `[A-Za-z0-9_+.-]`, not `.` and not `..`, unique under one state folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = RuntimeError;

    fn try_from(text: String) -> Result<Self, RuntimeError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_+.-".contains(c);
        if text.is_empty() || text.len() > 1024 || !text.chars().all(legal) || text == "." || text == ".." {
            return Err(RuntimeError::Spec {
                field: "container id".into(),
                rule: format!("{text:?} is not 1 to 1024 of letters, digits and _ + . -"),
            });
        }
        Ok(Self(text))
    }
}

impl std::str::FromStr for ContainerId {
    type Err = RuntimeError;

    fn from_str(text: &str) -> Result<Self, RuntimeError> {
        Self::try_from(text.to_owned())
    }
}

/// The states of the runtime specification, with `paused`, which runc's users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; its program was not started.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process ended.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}
