//! Whether somebody may still come: asked where a refresh token is shown, since it outlives passwords.

use std::fmt;

use async_trait::async_trait;

use crate::auth::{AuthError, Principal, Subject};

/// Knows who is known.
#[async_trait]
pub trait Standing: Send + Sync + fmt::Debug + 'static {
    /// The principal of a user or robot as it is now; `None` where there is none any more, or it is shut out.
    ///
    /// # Errors
    /// When the catalog fails.
    async fn principal(&self, subject: &Subject) -> Result<Option<Principal>, AuthError>;
}
