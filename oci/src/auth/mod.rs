//! What client and registry say to each other about access: challenges and scopes.

pub mod challenge;
pub mod scope;

pub use challenge::{Bearer, Challenge, ChallengeError};
pub use scope::{Action, Resource, Scope, ScopeError, Scopes};
