//! Faults: what becomes of acknowledged pushes when power, disk, process or descriptors go.
//!
//! A [`Pusher`] pushes and writes down in a [`Journal`], durably and outside whatever is about to break, what it was
//! told. After recovery [`check`] asks for all of it again: nothing acknowledged is lost (I1), no byte is served that
//! does not match its digest (I2), every child of a live manifest exists (I3), and what was never sent whole is not
//! there (I4). [`Recorder`] is the same as a process of its own, which goes on while the server dies.

mod bucket;
mod cell;
mod check;
mod client;
mod clocks;
mod collection;
mod database;
mod disk;
mod drain;
mod error;
mod journal;
mod kill;
mod leases;
mod power;
mod pusher;
mod race;
mod recorder;
mod replies;
mod rolling;
mod shim;
mod soak;
mod steps;
mod tags;

pub use bucket::{bucket_flips_bits, bucket_goes_wrong, bucket_stalls, disk_stalls, parts_are_purged};
pub use cell::Cell;
pub use check::{Expect, check};
pub use client::{Asked, Client, Pushed, Way};
pub use clocks::clocks_apart;
pub use collection::{delete_in_mid_pull, kill_in_mid_collection, push_beside_collection};
pub use database::{database_frozen, database_restarts};
pub use disk::{catalog_disk_full, data_disk_full, failing_syncs};
pub use drain::uploads_resume;
pub use error::{FaultError, Result};
pub use journal::{History, Journal, Sight};
pub use kill::{kill_at_each_call, kill_in_mid_push};
pub use leases::head_then_manifest;
pub use power::{Database, PowerOptions, power_loss};
pub use pusher::{Pusher, Taste};
pub use race::one_blob_by_many;
pub use recorder::{Recorder, RecorderArgs};
pub use replies::lost_replies;
pub use rolling::rolling_restarts;
pub use shim::{Action, Shim};
pub use soak::{SoakArgs, soak};
pub use tags::tag_races;

pub(crate) use recorder::record;
