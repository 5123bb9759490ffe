//! Sync: many images at once, from a registry, folders, a layout, or a list in YAML.

pub mod config;
mod constraint;
mod naming;
mod request;
mod tags;
mod tree;
mod version;

pub use constraint::{Constraint, ConstraintError};
pub use naming::{Destination, Transport};
pub use request::{From, PARALLEL, Prune, Request};
pub use tags::{Pattern, PatternError, Rule, Selection};
