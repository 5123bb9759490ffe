//! Which of several replicas does the work that one is enough for.

use async_trait::async_trait;

/// Which of several replicas does the work that one is enough for.
#[async_trait]
pub trait Leadership: Send + Sync {}
