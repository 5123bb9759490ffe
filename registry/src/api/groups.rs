//! `/api/v1/groups`: who belongs together.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, put},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Administrator, Error, Input, Result,
    accounts::{Page, Registrar, time},
};
use crate::{
    app::Services,
    auth::names::{check_member, check_name},
    catalog::GroupRow,
};

pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/api/v1/groups", get(list).post(add))
        .route("/api/v1/groups/{name}", get(show).delete(remove))
        .route("/api/v1/groups/{name}/members/{member}", put(enter).delete(leave))
}

fn shown(group: &GroupRow) -> Value {
    json!({ "name": group.name, "description": group.description, "created_at": time(group.created_at) })
}

fn unknown(name: &str) -> Error {
    Error::Unknown(format!("there is no group called {name}"))
}

/// `GET /api/v1/groups?after=&limit=`
async fn list(_caller: Administrator, State(services): State<Services>, page: Page) -> Result<Json<Value>> {
    let groups = services.catalog.groups(page.after.as_deref(), page.fetch()).await?;
    Ok(page.answer("groups", groups, shown, |group| &group.name))
}

/// `GET /api/v1/groups/{name}?after=&limit=`: its members.
async fn show(
    _caller: Administrator,
    State(services): State<Services>,
    Path(name): Path<String>,
    page: Page,
) -> Result<Json<Value>> {
    check_name(&name).map_err(|_| unknown(&name))?;
    let members = services.catalog.members(&name, page.after.as_deref(), page.fetch()).await?;
    let members = members.ok_or_else(|| unknown(&name))?;
    Ok(page.answer("members", members, |member| json!(member), |member| member))
}

/// A group to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    #[serde(default)]
    description: String,
}

/// `POST /api/v1/groups`
async fn add(
    _caller: Registrar,
    State(services): State<Services>,
    Input(new): Input<New>,
) -> Result<(StatusCode, Json<Value>)> {
    check_name(&new.name).map_err(|rule| Error::Invalid(format!("{:?}: {rule}", new.name)))?;
    let description = description(new.description)?;
    let group = GroupRow { name: new.name, description, created_at: services.clock.now() };
    if !services.catalog.add_group(&group).await? {
        return Err(Error::Conflict(format!("there is a group called {} already", group.name)));
    }
    Ok((StatusCode::CREATED, Json(shown(&group))))
}

/// A line that says what something is for.
pub(super) fn description(text: String) -> Result<String> {
    if text.len() > 1024 || text.chars().any(char::is_control) {
        return Err(Error::Invalid(
            "a description is one line of at most 1024 bytes without control characters".to_owned(),
        ));
    }
    Ok(text)
}

/// `DELETE /api/v1/groups/{name}`
async fn remove(
    _caller: Registrar,
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    check_name(&name).map_err(|_| unknown(&name))?;
    if !services.catalog.delete_group(&name).await? {
        return Err(unknown(&name));
    }
    services.logins.changed();
    Ok(StatusCode::NO_CONTENT)
}

/// A name alone is a user's.
fn subject(member: &str) -> Result<String> {
    let subject = if member.contains(':') { member.to_owned() } else { format!("user:{member}") };
    check_member(&subject).map_err(|rule| Error::Invalid(format!("{member:?}: {rule}")))?;
    Ok(subject)
}

/// `PUT /api/v1/groups/{name}/members/{member}`: makes a subject a member. Nobody asks whether there is one of that
/// name: people of a password file and holders of certificates are not in the catalog.
async fn enter(
    _caller: Registrar,
    State(services): State<Services>,
    Path((name, member)): Path<(String, String)>,
) -> Result<StatusCode> {
    check_name(&name).map_err(|_| unknown(&name))?;
    if !services.catalog.add_member(&name, &subject(&member)?).await? {
        return Err(unknown(&name));
    }
    services.logins.changed();
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/groups/{name}/members/{member}`
async fn leave(
    _caller: Registrar,
    State(services): State<Services>,
    Path((name, member)): Path<(String, String)>,
) -> Result<StatusCode> {
    check_name(&name).map_err(|_| unknown(&name))?;
    let member = subject(&member)?;
    if !services.catalog.remove_member(&name, &member).await? {
        return Err(Error::Unknown(format!("{member} is not in the group {name}")));
    }
    services.logins.changed();
    Ok(StatusCode::NO_CONTENT)
}
