//! `/api/v1/users`, and `/api/v1/me`: people, and who one is oneself.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, put},
};
use http::{StatusCode, request::Parts};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Administrator, Caller, Error, Input, Result,
    accounts::{Page, Registrar, auth_error, end_sessions, time},
};
use crate::{
    app::Services,
    auth::{AuthError, Passwords, Subject, names::check_name, passwords::secret, tokens::may_be_password},
    catalog::{UserChange, UserRow},
    http::serve::{Peer, client_address},
};

pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/api/v1/me", get(me))
        .route("/api/v1/users", get(list).post(add))
        .route("/api/v1/users/{name}", get(show).patch(change).delete(remove))
        .route("/api/v1/users/{name}/password", put(password))
}

/// `GET /api/v1/me`: who the caller is.
async fn me(caller: Caller) -> Json<Value> {
    let who = caller.principal();
    Json(json!({ "subject": who.subject.to_string(), "groups": who.groups, "admin": who.admin }))
}

fn shown(user: &UserRow) -> Value {
    json!({
        "name": user.name,
        "admin": user.admin,
        "disabled": user.disabled,
        "created_at": time(user.created_at),
        "updated_at": time(user.updated_at),
        "last_login_at": user.last_login_at.map(time),
    })
}

fn unknown(name: &str) -> Error {
    Error::Unknown(format!("there is no user called {name}"))
}

async fn user(services: &Services, name: &str) -> Result<UserRow> {
    check_name(name).map_err(|_| unknown(name))?;
    services.catalog.user(name).await?.ok_or_else(|| unknown(name))
}

/// `GET /api/v1/users?after=&limit=`
async fn list(_caller: Administrator, State(services): State<Services>, page: Page) -> Result<Json<Value>> {
    let users = services.catalog.users(page.after.as_deref(), page.fetch()).await?;
    Ok(page.answer("users", users, shown, |user| &user.name))
}

/// `GET /api/v1/users/{name}`: for administrators, and for oneself.
async fn show(
    caller: Caller,
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<Json<Value>> {
    if !caller.may_administer() && caller.principal().subject != Subject::User(name.clone()) {
        return Err(Error::Denied("only administrators may look at others".to_owned()));
    }
    let mut shown = shown(&user(&services, &name).await?);
    shown["groups"] = services.catalog.groups_of(&format!("user:{name}")).await?.into();
    Ok(Json(shown))
}

/// A user to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    /// Made here where it is not given, and told once.
    password: Option<String>,
    #[serde(default)]
    admin: bool,
}

/// `POST /api/v1/users`: adds one. A password that was made here is in the answer, and nowhere else.
async fn add(
    _caller: Registrar,
    State(services): State<Services>,
    Input(new): Input<New>,
) -> Result<(StatusCode, Json<Value>)> {
    check_name(&new.name).map_err(|rule| Error::Invalid(format!("{:?}: {rule}", new.name)))?;
    if services.logins.is_in_file(&new.name) {
        return Err(Error::Conflict(format!("{} is in the password file, which goes before", new.name)));
    }
    let taken = |name: &str| Error::Conflict(format!("there is a user called {name} already"));
    if services.catalog.user(&new.name).await?.is_some() {
        return Err(taken(&new.name));
    }
    let (password, made) = given_or_made(new.password);
    let now = services.clock.now();
    // Of somebody else who had the name, as in a password file.
    end_sessions(&services, &format!("user:{}", new.name)).await?;
    let user = UserRow {
        hash: services.logins.hash(&password).await.map_err(auth_error)?,
        name: new.name,
        admin: new.admin,
        disabled: false,
        created_at: now,
        updated_at: now,
        last_login_at: None,
    };
    if !services.catalog.add_user(&user).await? {
        return Err(taken(&user.name));
    }
    services.logins.changed();
    let mut answer = json!({ "user": shown(&user) });
    if made {
        answer["password"] = password.into();
    }
    Ok((StatusCode::CREATED, Json(answer)))
}

/// A password, and whether it was made here.
fn given_or_made(given: Option<String>) -> (String, bool) {
    match given {
        Some(password) => (password, false),
        None => (secret::password(), true),
    }
}

/// What is to change about a user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    admin: Option<bool>,
    disabled: Option<bool>,
}

/// `PATCH /api/v1/users/{name}`
async fn change(
    caller: Registrar,
    State(services): State<Services>,
    Path(name): Path<String>,
    Input(wanted): Input<Change>,
) -> Result<Json<Value>> {
    let before = user(&services, &name).await?;
    if wanted.disabled == Some(true) || wanted.admin == Some(false) {
        keep_an_administrator(&services, &caller, &before).await?;
    }
    let change = UserChange { admin: wanted.admin, disabled: wanted.disabled, hash: None };
    if !services.catalog.change_user(&name, &change, services.clock.now()).await? {
        return Err(unknown(&name));
    }
    services.logins.changed();
    Ok(Json(shown(&user(&services, &name).await?)))
}

/// `DELETE /api/v1/users/{name}`
async fn remove(
    caller: Registrar,
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    keep_an_administrator(&services, &caller, &user(&services, &name).await?).await?;
    if !services.catalog.delete_user(&name).await? {
        return Err(unknown(&name));
    }
    services.logins.changed();
    end_sessions(&services, &format!("user:{name}")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Nobody takes the last administrator away over the network: who else could undo it? Two at one moment could, and
/// the command on the registry's machine is the way back.
async fn keep_an_administrator(services: &Services, caller: &Registrar, user: &UserRow) -> Result<()> {
    let counts = user.admin && !user.disabled && caller.principal().subject != Subject::Local;
    if counts && services.config.auth.admins.is_empty() && services.catalog.count_admins(2).await? < 2 {
        return Err(Error::Conflict(format!(
            "{} is the only administrator; add another one first",
            user.name
        )));
    }
    Ok(())
}

/// A new password.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// Made here where it is not given, and told once.
    password: Option<String>,
    /// The one before: whoever is no administrator has to know it.
    current: Option<String>,
}

/// `PUT /api/v1/users/{name}/password`: for administrators, and with the current password for oneself. Whatever the
/// one before was exchanged for ends.
async fn password(
    caller: Caller,
    State(services): State<Services>,
    Path(name): Path<String>,
    parts: Parts,
    Input(new): Input<NewPassword>,
) -> Result<Json<Value>> {
    let oneself = caller.principal().subject == Subject::User(name.clone());
    let local = caller.principal().subject == Subject::Local;
    let administers = caller.may_administer() && (services.config.auth.enabled || local);
    if !administers && !oneself {
        return Err(Error::Denied("only administrators may change the passwords of others".to_owned()));
    }
    if services.logins.is_in_file(&name) {
        return Err(Error::Conflict(format!(
            "the password of {name} is in the password file; change it there"
        )));
    }
    user(&services, &name).await?;
    // Whoever borrows a session for a moment shall not keep the account.
    if oneself {
        let current = new.current.as_deref().unwrap_or_default();
        check_current(&services, &name, current, &parts).await?;
    }
    let (password, made) = given_or_made(new.password);
    let hash = services.logins.hash(&password).await.map_err(auth_error)?;
    let change = UserChange { hash: Some(hash), ..UserChange::default() };
    if !services.catalog.change_user(&name, &change, services.clock.now()).await? {
        return Err(unknown(&name));
    }
    services.logins.changed();
    end_sessions(&services, &format!("user:{name}")).await?;
    Ok(Json(if made { json!({ "password": password }) } else { json!({}) }))
}

async fn check_current(services: &Services, name: &str, current: &str, parts: &Parts) -> Result<()> {
    // A token is good as a password, but whoever found one shall not keep the account.
    if may_be_password(current) {
        return Err(Error::Denied("the current password is missing or wrong".to_owned()));
    }
    let peer = parts.extensions.get::<Peer>();
    let from = peer.map(|peer| client_address(peer, &parts.headers, &services.origin));
    let from = from.ok_or_else(|| Error::Internal("a request without a connection".into()))?;
    match services.logins.login(name, current, from).await {
        Ok(_) => Ok(()),
        Err(AuthError::Invalid(_)) => {
            Err(Error::Denied("the current password is missing or wrong".to_owned()))
        }
        Err(error) => Err(auth_error(error)),
    }
}
