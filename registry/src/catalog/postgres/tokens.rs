//! Keys that tokens are signed with, and refresh tokens.

use async_trait::async_trait;
use uuid::Uuid;

use super::{PostgresCatalog, change, read, transact};
use crate::{
    catalog::{RefreshRow, Result, SecretHash, SigningKeyRow, Tokens, ops},
    clock::Timestamp,
};

#[async_trait]
impl Tokens for PostgresCatalog {
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>> {
        read!(self, |db| ops::tokens::keys(db))
    }

    async fn add_signing_key(
        &self,
        key: &SigningKeyRow,
        youngest: Option<&str>,
        others_retire_at: Timestamp,
    ) -> Result<bool> {
        transact!(self, |db| ops::tokens::add_key(db, key, youngest, others_retire_at))
    }

    async fn forget_retired_keys(&self, now: Timestamp) -> Result<u64> {
        change!(self, |db| ops::tokens::forget_keys(db, now))
    }

    async fn add_refresh_token(&self, token: &RefreshRow, secret: &SecretHash, most: u32) -> Result<()> {
        transact!(self, |db| ops::tokens::add(db, token, secret, most))
    }

    async fn refresh_token(&self, secret: &SecretHash) -> Result<Option<RefreshRow>> {
        read!(self, |db| ops::tokens::find(db, secret))
    }

    async fn refresh_token_used(&self, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Result<()> {
        change!(self, |db| ops::tokens::used(db, id, now, expires_at))
    }

    async fn refresh_tokens(
        &self,
        subject: Option<&str>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<RefreshRow>> {
        read!(self, |db| ops::tokens::list(db, subject, after, limit))
    }

    async fn revoke_refresh_token(&self, id: Uuid, subject: Option<&str>) -> Result<bool> {
        change!(self, |db| ops::tokens::revoke(db, id, subject))
    }

    async fn forget_expired_tokens(&self, now: Timestamp) -> Result<u64> {
        change!(self, |db| ops::tokens::forget_expired(db, now))
    }
}
