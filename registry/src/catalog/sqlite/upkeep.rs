//! What `check`, `recover`, `import` and `migrate` ask of a catalog.

use async_trait::async_trait;

use super::SqliteCatalog;
use crate::catalog::Upkeep;

#[async_trait]
impl Upkeep for SqliteCatalog {}
