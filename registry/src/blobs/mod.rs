//! The rules of blobs and upload sessions. No axum, no sqlx here.

/// Reads and writes blobs.
#[derive(Clone, Debug)]
pub struct Blobs;
