//! One binary for every integration test of this crate.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "it/cli.rs"]
mod cli;
#[path = "it/cli_images.rs"]
mod cli_images;
#[path = "it/cli_usage.rs"]
mod cli_usage;
#[path = "it/copy_registry.rs"]
mod copy_registry;
#[path = "it/hostile/mod.rs"]
mod hostile;
#[path = "it/real.rs"]
mod real;
#[path = "it/signing.rs"]
mod signing;
#[path = "it/transports_carry.rs"]
mod transports_carry;
#[path = "it/transports_engines.rs"]
mod transports_engines;
#[path = "it/transports_layout.rs"]
mod transports_layout;
#[path = "it/transports_skopeo.rs"]
mod transports_skopeo;
