//! What collection asks and does: marking, sweeping, retention, undelete.

use async_trait::async_trait;

/// What collection asks and does: marking, sweeping, retention, undelete.
#[async_trait]
pub trait Collection: Send + Sync {}
