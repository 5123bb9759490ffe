//! One binary for every integration test of this crate.

#[path = "it/transports_carry.rs"]
mod transports_carry;
#[path = "it/transports_engines.rs"]
mod transports_engines;
#[path = "it/transports_skopeo.rs"]
mod transports_skopeo;
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "it/real.rs"]
mod real;
