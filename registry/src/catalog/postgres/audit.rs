//! Rules kept in the catalog, and who did what.

use async_trait::async_trait;

use super::PostgresCatalog;
use crate::catalog::AuditLog;

#[async_trait]
impl AuditLog for PostgresCatalog {}
