//! One binary for every integration test of this crate.

#[path = "it/clients_harness.rs"]
mod clients_harness;
