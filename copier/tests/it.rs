//! One binary for every integration test of this crate.

#![allow(clippy::unwrap_used, reason = "tests")]

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
#[path = "it/transports_carry.rs"]
mod transports_carry;
#[path = "it/transports_engines.rs"]
mod transports_engines;
#[path = "it/transports_layout.rs"]
mod transports_layout;
#[path = "it/transports_skopeo.rs"]
mod transports_skopeo;
