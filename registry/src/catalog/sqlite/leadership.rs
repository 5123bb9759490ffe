//! Which of several replicas does the work that one is enough for.

use async_trait::async_trait;

use super::SqliteCatalog;
use crate::catalog::Leadership;

#[async_trait]
impl Leadership for SqliteCatalog {}
