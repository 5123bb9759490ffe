//! One binary for every integration test of this crate.
#![allow(clippy::unwrap_used, reason = "tests")]

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "it/artifact_oras.rs"]
mod artifact_oras;
#[path = "it/berth_copier.rs"]
mod berth_copier;
#[path = "it/hostile/mod.rs"]
mod hostile;
#[path = "it/real.rs"]
mod real;
#[path = "it/sync_skopeo.rs"]
mod sync_skopeo;
#[path = "it/copy_registry.rs"]
mod copy_registry;
#[path = "it/real.rs"]
mod real;
#[path = "it/transports_carry.rs"]
mod transports_carry;
#[path = "it/transports_engines.rs"]
mod transports_engines;
#[path = "it/transports_skopeo.rs"]
mod transports_skopeo;

#[path = "it/signing.rs"]
mod signing;
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "it/hostile/mod.rs"]
mod hostile;
#[path = "it/real.rs"]
mod real;
#[path = "it/transports_carry.rs"]
mod transports_carry;
#[path = "it/transports_engines.rs"]
mod transports_engines;
#[path = "it/transports_layout.rs"]
mod transports_layout;
#[path = "it/transports_skopeo.rs"]
mod transports_skopeo;
