//! The server's connections.

/// The client sends its body too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
pub struct BodyTooSlow;

/// The server is stopping and cuts bodies off.
#[derive(Debug, thiserror::Error)]
#[error("the server is stopping")]
pub struct Draining;
