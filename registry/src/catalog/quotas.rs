//! How much each namespace holds, and how much it may.

use async_trait::async_trait;

/// How much each namespace holds, and how much it may.
#[async_trait]
pub trait Quotas: Send + Sync {}
