//! What collection asks and does: marking, sweeping, retention, undelete.

use async_trait::async_trait;

use super::SqliteCatalog;
use crate::catalog::Collection;

#[async_trait]
impl Collection for SqliteCatalog {}
