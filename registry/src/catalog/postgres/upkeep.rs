//! What `check`, `recover`, `import` and `migrate` ask of a catalog.

use async_trait::async_trait;

use super::PostgresCatalog;
use crate::catalog::Upkeep;

#[async_trait]
impl Upkeep for PostgresCatalog {}
