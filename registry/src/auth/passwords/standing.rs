//! Whether somebody may still come who shows no secret.

use async_trait::async_trait;

use super::Logins;
use crate::auth::{AuthError, Principal, Subject, tokens::Standing};

#[async_trait]
impl Standing for Logins {
    async fn principal(&self, subject: &Subject) -> Result<Option<Principal>, AuthError> {
        let (Subject::User(name) | Subject::Robot(name)) = subject else { return Ok(None) };
        let account = self.account(name, self.clock.now()).await?;
        let usable = account.filter(|account| account.usable).map(|account| account.principal);
        // A name may have become another kind's.
        Ok(usable.filter(|principal| principal.subject == *subject))
    }
}
