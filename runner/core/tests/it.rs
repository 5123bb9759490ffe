//! The core as its callers meet it, on this machine's kernel.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "it/limits_groups.rs"]
mod limits_groups;
