//! Keys and refresh tokens.

use uuid::Uuid;

use super::{Columns, Result, Statements, Value, corrupt};
use crate::{
    catalog::{RefreshKind, RefreshRow, SecretHash, SigningKeyRow},
    clock::Timestamp,
};

/// What a null time is stored as in the columns that are read.
const NEVER: i64 = i64::MAX;

const KEYS: &str = "SELECT kid, algorithm, private, created_at, signs_from, \
     COALESCE(retires_at, 9223372036854775807) FROM signing_keys ORDER BY signs_from DESC, kid DESC";
const ADD_KEY: &str =
    "INSERT INTO signing_keys (kid, algorithm, private, created_at, signs_from) VALUES ($1, $2, $3, $4, $5)";
const RETIRE_KEYS: &str = "UPDATE signing_keys SET retires_at = $1 WHERE retires_at IS NULL AND kid <> $2";
const FORGET_KEYS: &str = "DELETE FROM signing_keys WHERE retires_at <= $1";

const ADD_TOKEN: &str = "INSERT INTO refresh_tokens \
     (id, hash, kind, subject, service, name, created_at, expires_at, used_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
/// Those beyond the `$2` that were used last.
const CROWD_OUT: &str = "DELETE FROM refresh_tokens WHERE id IN (SELECT id FROM refresh_tokens \
     WHERE subject = $1 AND kind = 1 ORDER BY used_at DESC, id DESC LIMIT 1000 OFFSET $2)";
const TOKEN: &str = "SELECT id, kind, subject, service, name, created_at, expires_at, used_at \
     FROM refresh_tokens WHERE hash = $1";
const USED: &str = "UPDATE refresh_tokens SET used_at = $2, expires_at = $3 WHERE id = $1";
/// Names are version 7 UUIDs, which are in the order of their making.
const TOKENS: &str = "SELECT id, kind, subject, service, name, created_at, expires_at, used_at \
     FROM refresh_tokens WHERE ($1 = '' OR subject = $1) AND id > $2 ORDER BY id LIMIT $3";
const REVOKE: &str = "DELETE FROM refresh_tokens WHERE id = $1 AND ($2 = '' OR subject = $2)";
const FORGET_TOKENS: &str = "DELETE FROM refresh_tokens WHERE expires_at <= $1";

/// See [`crate::catalog::Tokens::signing_keys`].
pub(crate) async fn keys(db: &mut impl Statements) -> Result<Vec<SigningKeyRow>> {
    let rows = db.rows(KEYS, &[]).await?;
    rows.iter().map(key).collect()
}

fn key(row: &impl Columns) -> Result<SigningKeyRow> {
    let retires_at = row.int(5)?;
    Ok(SigningKeyRow {
        kid: row.text(0)?,
        algorithm: row.text(1)?,
        private: row.bytes(2)?,
        created_at: Timestamp(row.int(3)?),
        signs_from: Timestamp(row.int(4)?),
        retires_at: (retires_at != NEVER).then_some(Timestamp(retires_at)),
    })
}

/// See [`crate::catalog::Tokens::add_signing_key`]. Two first keys that are added at once on PostgreSQL both stay:
/// both verify, and the order of [`keys`] says which one signs.
pub(crate) async fn add_key(
    db: &mut impl Statements,
    new: &SigningKeyRow,
    youngest: Option<&str>,
    others_retire_at: Timestamp,
) -> Result<bool> {
    if keys(db).await?.first().map(|key| key.kid.as_str()) != youngest {
        return Ok(false);
    }
    let values = [
        (&new.kid).into(),
        (&new.algorithm).into(),
        Value::Bytes(&new.private),
        new.created_at.into(),
        new.signs_from.into(),
    ];
    db.execute(ADD_KEY, &values).await?;
    db.execute(RETIRE_KEYS, &[others_retire_at.into(), (&new.kid).into()]).await?;
    Ok(true)
}

/// See [`crate::catalog::Tokens::forget_retired_keys`].
pub(crate) async fn forget_keys(db: &mut impl Statements, now: Timestamp) -> Result<u64> {
    db.execute(FORGET_KEYS, &[now.into()]).await
}

/// See [`crate::catalog::Tokens::add_refresh_token`].
pub(crate) async fn add(
    db: &mut impl Statements,
    token: &RefreshRow,
    secret: &SecretHash,
    most: u32,
) -> Result<()> {
    let id = token.id.to_string();
    let values = [
        (&id).into(),
        Value::Bytes(secret),
        kind_number(token.kind).into(),
        (&token.subject).into(),
        (&token.service).into(),
        (&token.name).into(),
        token.created_at.into(),
        token.expires_at.into(),
        token.used_at.into(),
    ];
    db.execute(ADD_TOKEN, &values).await?;
    if token.kind == RefreshKind::Offline {
        db.execute(CROWD_OUT, &[(&token.subject).into(), i64::from(most).into()]).await?;
    }
    Ok(())
}

fn kind_number(kind: RefreshKind) -> i64 {
    match kind {
        RefreshKind::Personal => 0,
        RefreshKind::Offline => 1,
    }
}

fn token(row: &impl Columns) -> Result<RefreshRow> {
    Ok(RefreshRow {
        id: row.text(0)?.parse().map_err(corrupt)?,
        kind: match row.int(1)? {
            0 => RefreshKind::Personal,
            1 => RefreshKind::Offline,
            other => return Err(corrupt(format!("a refresh token of kind {other}"))),
        },
        subject: row.text(2)?,
        service: row.text(3)?,
        name: row.text(4)?,
        created_at: Timestamp(row.int(5)?),
        expires_at: Timestamp(row.int(6)?),
        used_at: Timestamp(row.int(7)?),
    })
}

/// See [`crate::catalog::Tokens::refresh_token`].
pub(crate) async fn find(db: &mut impl Statements, secret: &SecretHash) -> Result<Option<RefreshRow>> {
    db.row(TOKEN, &[Value::Bytes(secret)]).await?.as_ref().map(token).transpose()
}

/// See [`crate::catalog::Tokens::refresh_token_used`].
pub(crate) async fn used(
    db: &mut impl Statements,
    id: Uuid,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<()> {
    db.execute(USED, &[id.to_string().as_str().into(), now.into(), expires_at.into()]).await?;
    Ok(())
}

/// See [`crate::catalog::Tokens::refresh_tokens`].
pub(crate) async fn list(
    db: &mut impl Statements,
    subject: Option<&str>,
    after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<RefreshRow>> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let values = [subject.unwrap_or_default().into(), (&after).into(), i64::from(limit).into()];
    let rows = db.rows(TOKENS, &values).await?;
    rows.iter().map(token).collect()
}

/// See [`crate::catalog::Tokens::revoke_refresh_token`].
pub(crate) async fn revoke(db: &mut impl Statements, id: Uuid, subject: Option<&str>) -> Result<bool> {
    let id = id.to_string();
    Ok(db.execute(REVOKE, &[(&id).into(), subject.unwrap_or_default().into()]).await? > 0)
}

/// See [`crate::catalog::Tokens::forget_expired_tokens`].
pub(crate) async fn forget_expired(db: &mut impl Statements, now: Timestamp) -> Result<u64> {
    db.execute(FORGET_TOKENS, &[now.into()]).await
}
