//! `/api/v1/tokens`: refresh tokens, one's own or, for administrators, everybody's; and the keys that tokens are signed
//! with.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{delete, get},
};
use http::{StatusCode, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Administrator, Caller, Error, Input, Parameters, Result,
    accounts::{auth_error, time},
};
use crate::{
    app::Services,
    auth::{
        Authority, Subject, shows_token,
        tokens::{NewRefresh, Standing, TokenError, Tokens},
    },
    catalog::{RefreshKind, RefreshRow},
    policy::Verb,
};

/// A page has this many at most, and unless told.
const PAGE: u32 = 1000;
/// What a token is for is said in so many bytes.
const LONGEST_NAME: usize = 200;

pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/api/v1/tokens", get(list).post(create))
        .route("/api/v1/tokens/{id}", delete(revoke))
        .route("/api/v1/tokens/keys", get(keys).post(rotate))
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Catalog(error) => Self::Catalog(error),
            TokenError::Key(error) | TokenError::Issuer { error, .. } => Self::Internal(error),
        }
    }
}

fn tokens(services: &Services) -> Result<&Arc<Tokens>> {
    services.tokens.as_ref().filter(|tokens| tokens.issues()).ok_or_else(|| {
        Error::Conflict("no tokens are issued here: set auth.enabled and auth.tokens.enabled".to_owned())
    })
}

/// Whose tokens a caller means: their own, or, for administrators, those they name.
fn subject_of(caller: &Caller, named: Option<&str>) -> Result<Option<Subject>> {
    let who = caller.principal();
    let administers = caller.policy().decide(who, Verb::Admin, None).allowed;
    let named = match named {
        None => None,
        Some(text) => {
            let (kind, name) = text.split_once(':').unwrap_or(("user", text));
            Some(match (kind, name.is_empty()) {
                ("user", false) => Subject::User(name.to_owned()),
                ("robot", false) => Subject::Robot(name.to_owned()),
                _ => {
                    return Err(Error::Invalid(format!(
                        "{text:?} is neither a user nor a robot: give NAME, \"user:NAME\" or \"robot:NAME\""
                    )));
                }
            })
        }
    };
    match named {
        named if administers => Ok(named),
        // A token that was had for one repository must not make one that is good for all.
        _ if who.authority != Authority::Policy || who.by_token => Err(Error::Denied(
            "tokens are made, shown and ended with a password, not with a token".to_owned(),
        )),
        None => Ok(Some(who.subject.clone())),
        Some(named) if named == who.subject => Ok(Some(named)),
        Some(_) => Err(Error::Denied("only administrators see and change the tokens of others".to_owned())),
    }
}

fn shown(row: &RefreshRow) -> Value {
    json!({
        "id": row.id,
        "kind": match row.kind { RefreshKind::Personal => "personal", RefreshKind::Offline => "offline" },
        "subject": row.subject,
        "name": row.name,
        "created_at": time(row.created_at),
        "expires_at": time(row.expires_at),
        "used_at": time(row.used_at),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    subject: Option<String>,
    last: Option<Uuid>,
    n: Option<u32>,
}

/// `GET /api/v1/tokens?subject=…&last=ID&n=…`
async fn list(
    caller: Caller,
    State(services): State<Services>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Value>> {
    let tokens = tokens(&services)?;
    let subject = subject_of(&caller, query.subject.as_deref())?.map(|subject| subject.to_string());
    let limit = query.n.unwrap_or(PAGE).min(PAGE);
    let rows = tokens.refresh_list(subject.as_deref(), query.last, limit).await?;
    let last = rows.last().filter(|_| rows.len() == limit as usize).map(|row| row.id);
    Ok(Json(json!({ "tokens": rows.iter().map(shown).collect::<Vec<_>>(), "last": last })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    subject: Option<String>,
    #[serde(default)]
    name: String,
    expires_in: Option<u64>,
}

/// `POST /api/v1/tokens`: the answer holds the secret, which is shown this once.
async fn create(
    caller: Caller,
    State(services): State<Services>,
    parts: Parts,
    Input(new): Input<NewToken>,
) -> Result<(StatusCode, Json<Value>)> {
    let tokens = tokens(&services)?;
    // One that was revoked or has ended would live on in those that were made with it.
    if shows_token(&parts) {
        return Err(Error::Denied("tokens are made with a password, not with a token".to_owned()));
    }
    let subject = match subject_of(&caller, new.subject.as_deref())? {
        Some(subject @ (Subject::User(_) | Subject::Robot(_))) => subject,
        None if matches!(caller.principal().subject, Subject::User(_) | Subject::Robot(_)) => {
            caller.principal().subject.clone()
        }
        _ => return Err(Error::Invalid("say whose token it is to be: a user's or a robot's".to_owned())),
    };
    let printable = new.name.chars().all(|character| !character.is_control());
    if new.name.len() > LONGEST_NAME || !printable {
        let rule = format!("name: must be printable, and {LONGEST_NAME} bytes at most");
        return Err(Error::Invalid(rule));
    }
    let now = services.clock.now();
    let expires_at = match new.expires_in {
        None => None,
        Some(seconds) if (1..=10 * 366 * 86_400).contains(&seconds) => {
            Some(now + Duration::from_secs(seconds))
        }
        Some(_) => return Err(Error::Invalid("expires_in: must be from a second to ten years".to_owned())),
    };
    let known = Arc::downgrade(&services.logins).principal(&subject).await.map_err(auth_error)?;
    if known.is_none() {
        return Err(Error::Unknown(format!("{subject} is not known, or is shut out")));
    }
    let new = NewRefresh { subject, kind: RefreshKind::Personal, name: new.name, expires_at };
    let (row, secret) = tokens.add_refresh(new).await?;
    let mut value = shown(&row);
    value["secret"] = secret.reveal().into();
    Ok((StatusCode::CREATED, Json(value)))
}

/// `DELETE /api/v1/tokens/{id}`
async fn revoke(
    caller: Caller,
    State(services): State<Services>,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    let tokens = tokens(&services)?;
    let subject = subject_of(&caller, None)?.map(|subject| subject.to_string());
    let unknown = || Error::Unknown(format!("there is no token {id:?}"));
    let id = id.parse::<Uuid>().map_err(|_| unknown())?;
    if tokens.revoke(id, subject.as_deref()).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

/// `GET /api/v1/tokens/keys`
async fn keys(_caller: Administrator, State(services): State<Services>) -> Result<Json<Value>> {
    let (rows, signing) = tokens(&services)?.keys().await?;
    let keys: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "kid": row.kid,
                "algorithm": row.algorithm,
                "created_at": time(row.created_at),
                "signs_from": time(row.signs_from),
                "retires_at": row.retires_at.map(time),
                "signing": Some(&row.kid) == signing.as_ref(),
            })
        })
        .collect();
    Ok(Json(json!({ "keys": keys })))
}

/// `POST /api/v1/tokens/keys`: adds a key.
async fn rotate(
    _caller: Administrator,
    State(services): State<Services>,
) -> Result<(StatusCode, Json<Value>)> {
    match tokens(&services)?.rotate().await? {
        Some(kid) => Ok((StatusCode::CREATED, Json(json!({ "kid": kid })))),
        None => Err(Error::Conflict("another key was added at the same time".to_owned())),
    }
}
