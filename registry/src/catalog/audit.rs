//! Rules kept in the catalog, and who did what.

use async_trait::async_trait;

/// Rules kept in the catalog, and who did what.
#[async_trait]
pub trait AuditLog: Send + Sync {}
