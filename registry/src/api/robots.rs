//! `/api/v1/robots`: programs with a secret of ours. What one may do is the policy's to say, of `robot:TEAM/NAME`.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Administrator, Error, Input, Result,
    accounts::{Page, Registrar, end_sessions, time},
    groups::description,
};
use crate::{
    app::Services,
    auth::{names::check_robot_name, passwords::secret},
    catalog::{RobotChange, RobotRow},
    clock::Timestamp,
};

pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/api/v1/robots", get(list).post(add))
        .route("/api/v1/robots/{name}", get(show).patch(change).delete(remove))
        .route("/api/v1/robots/{name}/secret", post(rotate))
}

fn shown(robot: &RobotRow) -> Value {
    json!({
        "name": robot.name,
        "description": robot.description,
        "disabled": robot.disabled,
        "created_by": robot.created_by,
        "created_at": time(robot.created_at),
        "updated_at": time(robot.updated_at),
        "expires_at": robot.expires_at.map(time),
        "last_login_at": robot.last_login_at.map(time),
    })
}

fn unknown(name: &str) -> Error {
    Error::Unknown(format!("there is no robot called {name}"))
}

async fn robot(services: &Services, name: &str) -> Result<RobotRow> {
    check_robot_name(name).map_err(|_| unknown(name))?;
    services.catalog.robot(name).await?.ok_or_else(|| unknown(name))
}

/// `GET /api/v1/robots?after=&limit=`
async fn list(_caller: Administrator, State(services): State<Services>, page: Page) -> Result<Json<Value>> {
    let robots = services.catalog.robots(page.after.as_deref(), page.fetch()).await?;
    Ok(page.answer("robots", robots, shown, |robot| &robot.name))
}

/// `GET /api/v1/robots/{name}`
async fn show(
    _caller: Administrator,
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<Json<Value>> {
    let mut shown = shown(&robot(&services, &name).await?);
    shown["groups"] = services.catalog.groups_of(&format!("robot:{name}")).await?.into();
    Ok(Json(shown))
}

/// A robot to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    #[serde(default)]
    description: String,
    /// Seconds until its secret is worth nothing; never where it is not given.
    expires_in: Option<u64>,
}

/// `POST /api/v1/robots`: adds one. Its secret is in the answer, and nowhere else.
async fn add(
    caller: Registrar,
    State(services): State<Services>,
    Input(new): Input<New>,
) -> Result<(StatusCode, Json<Value>)> {
    check_robot_name(&new.name).map_err(|rule| Error::Invalid(format!("{:?}: {rule}", new.name)))?;
    let taken = |name: &str| Error::Conflict(format!("there is a robot called {name} already"));
    if services.catalog.robot(&new.name).await?.is_some() {
        return Err(taken(&new.name));
    }
    // A login that was under way as another of the name was deleted may have left one.
    end_sessions(&services, &format!("robot:{}", new.name)).await?;
    let now = services.clock.now();
    let secret = secret::robot_secret();
    let robot = RobotRow {
        name: new.name,
        secret_hash: secret::fingerprint(&secret),
        description: description(new.description)?,
        disabled: false,
        created_by: caller.principal().key(),
        created_at: now,
        updated_at: now,
        expires_at: end(now, new.expires_in)?,
        last_login_at: None,
    };
    if !services.catalog.add_robot(&robot).await? {
        return Err(taken(&robot.name));
    }
    services.logins.changed();
    Ok((StatusCode::CREATED, Json(json!({ "robot": shown(&robot), "secret": secret }))))
}

fn end(now: Timestamp, expires_in: Option<u64>) -> Result<Option<Timestamp>> {
    /// A hundred years.
    const MOST: u64 = 100 * 366 * 24 * 3600;
    match expires_in {
        Some(seconds) if !(1..=MOST).contains(&seconds) => {
            Err(Error::Invalid(format!("expires_in is from 1 to {MOST} seconds, or left out")))
        }
        seconds => Ok(seconds.map(|seconds| now + Duration::from_secs(seconds))),
    }
}

/// What is to change about a robot.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    disabled: bool,
}

/// `PATCH /api/v1/robots/{name}`
async fn change(
    _caller: Registrar,
    State(services): State<Services>,
    Path(name): Path<String>,
    Input(wanted): Input<Change>,
) -> Result<Json<Value>> {
    robot(&services, &name).await?;
    let change = RobotChange { disabled: Some(wanted.disabled), ..RobotChange::default() };
    if !services.catalog.change_robot(&name, &change, services.clock.now()).await? {
        return Err(unknown(&name));
    }
    services.logins.changed();
    Ok(Json(shown(&robot(&services, &name).await?)))
}

/// Until when a new secret is good.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Seconds; never where it is not given.
    expires_in: Option<u64>,
}

/// `POST /api/v1/robots/{name}/secret`: a new secret in place of the old one, and an end in place of the old end.
/// The secret is in the answer, and nowhere else; what the old one was exchanged for ends.
async fn rotate(
    _caller: Registrar,
    State(services): State<Services>,
    Path(name): Path<String>,
    Input(wanted): Input<Rotation>,
) -> Result<Json<Value>> {
    robot(&services, &name).await?;
    let now = services.clock.now();
    let secret = secret::robot_secret();
    let change = RobotChange {
        secret_hash: Some(secret::fingerprint(&secret)),
        expires_at: Some(end(now, wanted.expires_in)?),
        disabled: None,
    };
    if !services.catalog.change_robot(&name, &change, now).await? {
        return Err(unknown(&name));
    }
    services.logins.changed();
    end_sessions(&services, &format!("robot:{name}")).await?;
    Ok(Json(json!({ "robot": shown(&robot(&services, &name).await?), "secret": secret })))
}

/// `DELETE /api/v1/robots/{name}`
async fn remove(
    _caller: Registrar,
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    check_robot_name(&name).map_err(|_| unknown(&name))?;
    if !services.catalog.delete_robot(&name).await? {
        return Err(unknown(&name));
    }
    services.logins.changed();
    end_sessions(&services, &format!("robot:{name}")).await?;
    Ok(StatusCode::NO_CONTENT)
}
