//! Streaming SHA-256 and SHA-512 (FIPS 180-4) whose state can be saved and restored.
//!
//! An upload is as fast as its hash, and it may pause between two requests and go on in another
//! process. So [`Hasher`] does two things that a plain hash library does not: it runs on whichever
//! of two implementations is faster on this processor, and its state is a few bytes that mean the
//! same to both.
//!
//! Only the compression function is taken from the libraries, as both export it. Buffering, padding
//! and the saved form are written once, here, without unsafe code: the two implementations cannot
//! disagree about them, and a state saved by one is continued by the other.

mod choice;
mod compress;
mod engine;
mod hasher;

pub use choice::Implementation;
pub use hasher::{Hasher, Kind, RestoreError};
