//! One binary for every integration test of this crate.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "it/artifact_oras.rs"]
mod artifact_oras;
#[path = "it/cli.rs"]
mod cli;
#[path = "it/cli_images.rs"]
mod cli_images;
#[path = "it/cli_usage.rs"]
mod cli_usage;
#[path = "it/copy_registry.rs"]
mod copy_registry;
#[path = "it/copy_resume.rs"]
mod copy_resume;
#[path = "it/faults_cell.rs"]
mod faults_cell;
#[path = "it/faults_disk.rs"]
mod faults_disk;
#[path = "it/faults_kill.rs"]
mod faults_kill;
#[path = "it/faults_servers.rs"]
mod faults_servers;
#[path = "it/faults_valve.rs"]
mod faults_valve;
#[path = "it/hostile/mod.rs"]
mod hostile;
#[path = "it/real.rs"]
mod real;
#[path = "it/signing.rs"]
mod signing;
#[path = "it/sync_lab.rs"]
mod sync_lab;
#[path = "it/sync_registries.rs"]
mod sync_registries;
#[path = "it/sync_skopeo.rs"]
mod sync_skopeo;
#[path = "it/transports_carry.rs"]
mod transports_carry;
#[path = "it/transports_engines.rs"]
mod transports_engines;
#[path = "it/transports_layout.rs"]
mod transports_layout;
#[path = "it/transports_skopeo.rs"]
mod transports_skopeo;
