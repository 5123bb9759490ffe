//! Users, groups, robots, their secrets, and the keys that tokens are signed with.

use async_trait::async_trait;

/// Users, groups, robots, their secrets, and the keys that tokens are signed with.
#[async_trait]
pub trait Accounts: Send + Sync {}
