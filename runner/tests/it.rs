//! The runner as its users meet it: the program, run as root and as an ordinary user.
#![expect(clippy::unwrap_used, reason = "whatever a test needs and does not get fails it there")]

#[path = "it/bundle.rs"]
mod bundle;
#[path = "it/bundle_user.rs"]
mod bundle_user;
#[path = "it/image/mod.rs"]
mod image;
#[path = "it/net/mod.rs"]
mod net;
#[path = "it/oci.rs"]
mod oci;
#[path = "it/ops.rs"]
mod ops;
#[path = "it/program.rs"]
mod program;
#[path = "it/rootfs.rs"]
mod rootfs;
#[path = "it/safety/mod.rs"]
mod safety;
#[path = "it/store_user.rs"]
mod store_user;
#[path = "it/supervisor/mod.rs"]
mod supervisor;
#[path = "it/verbs/mod.rs"]
mod verbs;
