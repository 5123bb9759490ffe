//! Users, groups, robots, their secrets, and the keys that tokens are signed with.

use async_trait::async_trait;

use super::PostgresCatalog;
use crate::catalog::Accounts;

#[async_trait]
impl Accounts for PostgresCatalog {}
