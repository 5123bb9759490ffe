//! Rules kept in the catalog, and who did what.

use async_trait::async_trait;

use super::SqliteCatalog;
use crate::catalog::AuditLog;

#[async_trait]
impl AuditLog for SqliteCatalog {}
