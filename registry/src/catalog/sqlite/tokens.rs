//! Keys that tokens are signed with, and refresh tokens.

use async_trait::async_trait;
use uuid::Uuid;

use super::{SqliteCatalog, operations::repeatable, writer::Durability};
use crate::{
    catalog::{RefreshRow, Result, SecretHash, SigningKeyRow, Tokens, ops},
    clock::Timestamp,
};

#[async_trait]
impl Tokens for SqliteCatalog {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>> {
        ops::tokens::keys(&mut *self.reader().await?).await
    }

    async fn add_signing_key(
        &self,
        key: &SigningKeyRow,
        youngest: Option<&str>,
        others_retire_at: Timestamp,
    ) -> Result<bool> {
        let (key, youngest) = (key.clone(), youngest.map(str::to_owned));
        self.write(repeatable(move |db| {
            let (key, youngest) = (key.clone(), youngest.clone());
            Box::pin(
                async move { ops::tokens::add_key(db, &key, youngest.as_deref(), others_retire_at).await },
            )
        }))
        .await
    }

    async fn forget_retired_keys(&self, now: Timestamp) -> Result<u64> {
        self.write(repeatable(move |db| Box::pin(ops::tokens::forget_keys(db, now)))).await
    }

    async fn add_refresh_token(&self, token: &RefreshRow, secret: &SecretHash, most: u32) -> Result<()> {
        let (token, secret) = (token.clone(), *secret);
        self.write(repeatable(move |db| {
            let token = token.clone();
            Box::pin(async move { ops::tokens::add(db, &token, &secret, most).await })
        }))
        .await
    }

    async fn refresh_token(&self, secret: &SecretHash) -> Result<Option<RefreshRow>> {
        ops::tokens::find(&mut *self.reader().await?, secret).await
    }

    async fn refresh_token_used(&self, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Result<()> {
        // It needs no fsync: a power failure may make the token look less used than it was.
        let used = repeatable(move |db| Box::pin(ops::tokens::used(db, id, now, expires_at)));
        self.writer.submit(Durability::Process, used, |_| ()).await
    }

    async fn refresh_tokens(
        &self,
        subject: Option<&str>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<RefreshRow>> {
        ops::tokens::list(&mut *self.reader().await?, subject, after, limit).await
    }

    async fn revoke_refresh_token(&self, id: Uuid, subject: Option<&str>) -> Result<bool> {
        let subject = subject.map(str::to_owned);
        self.write(repeatable(move |db| {
            let subject = subject.clone();
            Box::pin(async move { ops::tokens::revoke(db, id, subject.as_deref()).await })
        }))
        .await
    }

    async fn forget_expired_tokens(&self, now: Timestamp) -> Result<u64> {
        self.write(repeatable(move |db| Box::pin(ops::tokens::forget_expired(db, now)))).await
    }
}
