//! Keys that tokens are signed with, and the refresh tokens that were given out.

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use super::Result;
use crate::clock::Timestamp;

/// A key that signs, or has signed, tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Its name: the RFC 7638 thumbprint of its public half.
    pub kid: String,
    /// As JWTs name it: `ES256` or `EdDSA`.
    pub algorithm: String,
    /// PKCS #8.
    pub private: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it begins to sign: late enough for every replica to know it by then.
    pub signs_from: Timestamp,
    /// When the last token that it signed has expired; `None` until a younger key was made.
    pub retires_at: Option<Timestamp>,
}

impl fmt::Debug for SigningKeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyRow").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Why there is a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshKind {
    /// Somebody made it by hand, to give it to a program.
    Personal,
    /// A client asked for it as it logged in.
    Offline,
}

/// A refresh token, but for its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRow {
    /// Its name for lists and for revoking it; nothing can be had with it.
    pub id: Uuid,
    /// Why it is there.
    pub kind: RefreshKind,
    /// Whom it stands for, as policies name them.
    pub subject: String,
    /// Which service it may be used at.
    pub service: String,
    /// What it is for, in its owner's words; the client's name for those that clients asked for.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, not to the minute.
    pub used_at: Timestamp,
}

/// The SHA-256 of a refresh token's secret.
pub type SecretHash = [u8; 32];

/// Keys and refresh tokens.
#[async_trait]
pub trait Tokens: Send + Sync {
    /// Every key, youngest first: by when they sign, then by name.
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>>;

    /// Adds a key that takes over from `youngest` (`None`: from no key at all), which with all before it
    /// then retires at `others_retire_at`, where they have no end yet. `false`, and nothing done, when
    /// another key was added since that one.
    async fn add_signing_key(
        &self,
        key: &SigningKeyRow,
        youngest: Option<&str>,
        others_retire_at: Timestamp,
    ) -> Result<bool>;

    /// Forgets keys that have retired by `now`, and how many there were.
    async fn forget_retired_keys(&self, now: Timestamp) -> Result<u64>;

    /// Keeps a refresh token. Of those that clients asked for, a subject keeps the `most` that were used last.
    async fn add_refresh_token(&self, token: &RefreshRow, secret: &SecretHash, most: u32) -> Result<()>;

    /// The refresh token with this secret, expired or not.
    async fn refresh_token(&self, secret: &SecretHash) -> Result<Option<RefreshRow>>;

    /// Notes that it was used, and when it ends now.
    async fn refresh_token_used(&self, id: Uuid, now: Timestamp, expires_at: Timestamp) -> Result<()>;

    /// Those of one subject, or all, oldest first; after `after`, `limit` at most.
    async fn refresh_tokens(
        &self,
        subject: Option<&str>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<RefreshRow>>;

    /// Ends one; with `subject`, only if it stands for that one. `false` when there is none.
    async fn revoke_refresh_token(&self, id: Uuid, subject: Option<&str>) -> Result<bool>;

    /// Forgets refresh tokens that have expired by `now`, and how many there were.
    async fn forget_expired_tokens(&self, now: Timestamp) -> Result<u64>;
}
