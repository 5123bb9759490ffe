//! Socket-level tests of the registry: one binary, a module for each part.

#![allow(clippy::unwrap_used, reason = "tests")]

mod layering;
mod process;
mod serve;
