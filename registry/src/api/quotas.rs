//! `/api/v1/quotas` and `/api/v1/usage`: what namespaces and repositories hold, and what they may.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{get, post},
};
use berth_oci::RepoName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Administrator, Error, Input, Parameters, Result};
use crate::{
    app::Services,
    catalog::{Namespace, NamespaceUsage, Recount, SetQuota},
};

/// Entries of a page at most.
const PAGE: u32 = 1000;

/// The routes.
pub(super) fn router() -> Router<Services> {
    Router::new()
        .route("/api/v1/quotas", get(list))
        .route("/api/v1/quotas/{namespace}", get(show).put(set).delete(unset))
        .route("/api/v1/quotas/{namespace}/recount", post(recount))
        .route("/api/v1/usage/{namespace}", get(usage))
}

/// What a page is asked with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    after: Option<String>,
    n: Option<u32>,
}

impl Page {
    fn limit(&self) -> u32 {
        self.n.unwrap_or(PAGE).clamp(1, PAGE)
    }
}

fn namespace(text: &str) -> Result<Namespace> {
    text.parse().map_err(|error| Error::Invalid(format!("{text:?}: {error}")))
}

/// A namespace with the limit that is in force and who says so.
fn shown(services: &Services, usage: &NamespaceUsage) -> Value {
    let (limit, source) = match usage.set {
        SetQuota::Bytes(limit) => (Some(limit), "command"),
        SetQuota::Unlimited => (None, "command"),
        SetQuota::Unset => {
            let limit = services.config.quotas.rules().limit_of(&usage.namespace);
            (limit, "configuration")
        }
    };
    json!({
        "namespace": usage.namespace.as_str(),
        "used": usage.bytes,
        "limit": limit,
        "free": limit.map(|limit| limit.saturating_sub(usage.bytes)),
        "source": source,
    })
}

async fn list(
    _caller: Administrator,
    State(services): State<Services>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Value>> {
    let found = services.catalog.namespaces(page.after.as_deref(), page.limit()).await?;
    let next = found.get(page.limit() as usize - 1).map(|last| last.namespace.to_string());
    let namespaces: Vec<_> = found.iter().map(|usage| shown(&services, usage)).collect();
    Ok(Json(json!({ "namespaces": namespaces, "next": next })))
}

async fn show(
    _caller: Administrator,
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<Json<Value>> {
    let usage = services.catalog.namespace(&namespace(&name)?).await?;
    Ok(Json(shown(&services, &usage)))
}

/// `limit` in bytes, or `null` for none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLimit {
    limit: Option<u64>,
}

async fn set(
    _caller: Administrator,
    State(services): State<Services>,
    Path(name): Path<String>,
    Input(new): Input<NewLimit>,
) -> Result<Json<Value>> {
    let namespace = namespace(&name)?;
    let quota = match new.limit {
        None => SetQuota::Unlimited,
        Some(limit) if i64::try_from(limit).is_ok() => SetQuota::Bytes(limit),
        Some(limit) => {
            return Err(Error::Invalid(format!("limit: {limit} is more than {} bytes", i64::MAX)));
        }
    };
    services.catalog.set_quota(&namespace, quota, services.clock.now()).await?;
    let usage = services.catalog.namespace(&namespace).await?;
    Ok(Json(shown(&services, &usage)))
}

async fn unset(
    _caller: Administrator,
    State(services): State<Services>,
    Path(name): Path<String>,
) -> Result<Json<Value>> {
    let namespace = namespace(&name)?;
    services.catalog.set_quota(&namespace, SetQuota::Unset, services.clock.now()).await?;
    let usage = services.catalog.namespace(&namespace).await?;
    Ok(Json(shown(&services, &usage)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repair {
    #[serde(default)]
    repair: bool,
}

async fn recount(
    _caller: Administrator,
    State(services): State<Services>,
    Path(name): Path<String>,
    Parameters(Repair { repair }): Parameters<Repair>,
) -> Result<Json<Value>> {
    let namespace = namespace(&name)?;
    let found = services.catalog.recount(&namespace, repair).await?;
    let Recount { counted, kept, wrong } = found;
    let right = found.is_right();
    Ok(Json(json!({
        "namespace": namespace.as_str(),
        "counted": counted,
        "kept": kept,
        "wrong": wrong,
        "right": right,
        "repaired": repair && !right,
    })))
}

async fn usage(
    _caller: Administrator,
    State(services): State<Services>,
    Path(name): Path<String>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Value>> {
    let namespace = namespace(&name)?;
    let total = services.catalog.namespace(&namespace).await?;
    let found = services.catalog.repository_usage(&namespace, page.after.as_deref(), page.limit()).await?;
    let next = found.get(page.limit() as usize - 1).map(|last| RepoName::as_str(&last.repo).to_owned());
    let row = |usage: &crate::catalog::RepositoryUsage| {
        json!({
            "repository": usage.repo.as_str(),
            "bytes": usage.bytes,
            "unique": usage.unique,
            "shared": usage.bytes - usage.unique,
        })
    };
    let repositories: Vec<_> = found.iter().map(row).collect();
    Ok(Json(json!({
        "namespace": shown(&services, &total),
        "repositories": repositories,
        "next": next,
    })))
}
