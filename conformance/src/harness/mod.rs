//! Starts what a test needs on loopback, and surely stops it.
//!
//! Everything here is a child process on a free port with a folder of its own under one scratch root. A child goes
//! away in three cases: its handle is dropped (asked to stop, then killed, then waited for, always by its own process
//! id), its handle's process ends (the kernel delivers the parent-death signal that `setpriv` armed), or it ends by
//! itself, which the handle reports with the tail of its log.
//!
//! The API blocks: tests that talk to command line clients have nothing else to do, and asynchronous tests start
//! their servers before they begin.

mod balancer;
mod berth;
mod command;
mod containerd;
mod dockerd;
mod error;
mod fault_proxy;
mod nginx;
mod peer;
mod port;
mod postgres;
mod probe;
mod process;
mod proxy;
mod replicas;
mod require;
mod s3;
mod scratch;
mod shared;
mod stack;
mod stats;
mod wire;

pub use balancer::{Balancer, Hop};
pub use berth::{Berth, BerthBuilder};
pub use command::{Finished, Tool};
pub use containerd::Containerd;
pub use dockerd::Dockerd;
pub use error::HarnessError;
pub use fault_proxy::{Fault, FaultProxy};
pub use nginx::Nginx;
pub use peer::DockerRegistry;
pub use port::free_port;
pub use postgres::{Durability, Postgres};
pub use probe::{fair, get_status, until};
pub use process::{Daemon, DaemonSpec, Signal};
pub use proxy::{CountingProxy, Counts};
pub use replicas::Replicas;
pub use require::{berth_program, find_tool, require, require_root};
pub use s3::S3;
pub use scratch::Scratch;
pub use shared::Shared;
pub use stack::{OutsideStack, Stack};
pub use stats::{CpuTime, ProcessStats};
pub use wire::Wire;

/// What every step of the harness returns.
pub type Result<T, E = HarnessError> = std::result::Result<T, E>;
