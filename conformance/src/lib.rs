//! Berth.

pub mod harness;
