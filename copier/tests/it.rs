//! One binary for every integration test of this crate.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "it/real.rs"]
mod real;

#[path = "it/signing.rs"]
mod signing;
