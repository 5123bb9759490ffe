//! How much each namespace holds, and how much it may.

use async_trait::async_trait;

use super::PostgresCatalog;
use crate::catalog::Quotas;

#[async_trait]
impl Quotas for PostgresCatalog {}
