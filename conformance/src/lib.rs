//! Black-box suites for any OCI registry by URL.
//!
//! [`suite::run`] asks for what the distribution specification promises, [`abuse::run`] for what a
//! registry must survive. Both take a connected [`Target`] and give a [`Report`]; neither knows
//! which registry it talks to.

pub mod abuse;
pub mod bench;
pub mod case;
pub mod cli;
pub mod clients;
pub mod data;
pub mod faults;
pub mod harness;
pub mod http;
pub mod report;
pub mod suite;

pub use case::{Case, Level, Options};
pub use http::{ConnectError, Credentials, Target, TargetOptions};
pub use report::{CaseResult, Outcome, Report};
