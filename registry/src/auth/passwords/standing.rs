//! Whether somebody may still come who shows no secret.

use std::sync::Weak;

use async_trait::async_trait;

use super::Logins;
use crate::auth::{AuthError, Principal, Subject, tokens::Standing};

/// Weak, since logins know tokens as well.
#[async_trait]
impl Standing for Weak<Logins> {
    async fn principal(&self, subject: &Subject) -> Result<Option<Principal>, AuthError> {
        let (Some(logins), Subject::User(name) | Subject::Robot(name)) = (self.upgrade(), subject) else {
            return Ok(None);
        };
        let account = logins.account(name, logins.clock.now()).await?;
        let usable = account.filter(|account| account.usable).map(|account| account.principal);
        // A name may have become another kind's.
        Ok(usable.filter(|principal| principal.subject == *subject))
    }
}
