//! What `check`, `recover`, `import` and `migrate` ask of a catalog.

use async_trait::async_trait;

/// What `check`, `recover`, `import` and `migrate` ask of a catalog.
#[async_trait]
pub trait Upkeep: Send + Sync {}
