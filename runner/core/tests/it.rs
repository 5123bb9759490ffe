//! The core as its callers meet it, on this machine's kernel.

#[path = "it/limits_groups.rs"]
mod limits_groups;
