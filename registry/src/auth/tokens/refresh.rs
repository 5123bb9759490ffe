//! Refresh tokens: a secret of 256 bits that is kept as its hash, stands for one subject at one service, and can
//! be revoked. Clients get them as they log in (`offline_token`); people make them for programs by hand, and
//! those are good as a password too.

use std::{fmt, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{TokenError, Tokens};
use crate::{
    auth::Subject,
    catalog::{RefreshKind, RefreshRow, SecretHash},
    clock::Timestamp,
};

/// What the secrets begin with, so that people and scanners see what they found.
pub(super) const PREFIX: &str = "brt_";
/// A subject keeps this many that clients asked for.
const MOST: u32 = 100;
/// Uses are noted this often at most.
const NOTED: Duration = Duration::from_hours(1);

/// A refresh token's secret: shown once.
pub struct RefreshSecret(String);

impl RefreshSecret {
    fn new() -> Result<Self, TokenError> {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| TokenError::Key("no random bytes".into()))?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// One that its owner has shown.
    pub(super) fn shown(secret: &str) -> Self {
        Self(secret.to_owned())
    }

    /// The text, for whoever it is made for.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefreshSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Whether a password is one of these.
pub(super) fn looks_like_one(text: &str) -> bool {
    text.len() == PREFIX.len() + 43 && text.starts_with(PREFIX)
}

fn hash(secret: &str) -> SecretHash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}

/// What a refresh token that is to be made is like.
#[derive(Clone, Debug)]
pub struct NewRefresh {
    /// Whom it stands for.
    pub subject: Subject,
    /// Why it is made.
    pub kind: RefreshKind,
    /// What it is for.
    pub name: String,
    /// When it ends; `None` as configured.
    pub expires_at: Option<Timestamp>,
}

impl Tokens {
    /// Makes a refresh token.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn add_refresh(&self, new: NewRefresh) -> Result<(RefreshRow, RefreshSecret), TokenError> {
        let (secret, now) = (RefreshSecret::new()?, self.clock.now());
        let row = RefreshRow {
            id: Uuid::now_v7(),
            kind: new.kind,
            subject: new.subject.to_string(),
            service: self.settings.service.clone(),
            name: new.name,
            created_at: now,
            expires_at: new.expires_at.unwrap_or(now + self.settings.refresh_life),
            used_at: now,
        };
        self.catalog.add_refresh_token(&row, &hash(secret.reveal()), MOST).await?;
        Ok((row, secret))
    }

    /// The refresh token with this secret, if it has not expired and is for this registry. Those that clients
    /// asked for live as long as they are used.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn refresh(&self, secret: &str) -> Result<Option<RefreshRow>, TokenError> {
        if !looks_like_one(secret) {
            return Ok(None);
        }
        let now = self.clock.now();
        let row = self.catalog.refresh_token(&hash(secret)).await?;
        let Some(row) = row.filter(|row| now < row.expires_at && row.service == self.settings.service) else {
            return Ok(None);
        };
        if row.used_at + NOTED <= now {
            let slides = row.kind == RefreshKind::Offline && !row.subject.starts_with("ci:");
            let end = if slides { now + self.settings.refresh_life } else { row.expires_at };
            self.catalog.refresh_token_used(row.id, now, end).await?;
        }
        Ok(Some(row))
    }

    /// Those of a subject, or all.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn refresh_list(
        &self,
        subject: Option<&str>,
        after: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<RefreshRow>, TokenError> {
        Ok(self.catalog.refresh_tokens(subject, after, limit).await?)
    }

    /// Ends one; whether there was one, of that subject where one is given.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn revoke(&self, id: Uuid, subject: Option<&str>) -> Result<bool, TokenError> {
        Ok(self.catalog.revoke_refresh_token(id, subject).await?)
    }
}
