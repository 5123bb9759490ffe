//! Berth.

pub mod clients;
pub mod harness;
