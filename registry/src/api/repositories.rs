//! `/api/v1/repositories`: what is there, as far as the caller may pull it.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use berth_oci::RepoName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Caller, Error, Parameters, Result};
use crate::{app::Services, policy::Verb};

/// Entries of a page, unless fewer are asked for.
const MOST: u32 = 1000;

pub(super) fn routes() -> Router<Services> {
    // A name has slashes, so that of the tags is read from its end.
    Router::new()
        .route("/api/v1/repositories", get(repositories))
        .route("/api/v1/repositories/{*name}", get(tags))
}

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// What the last page gave as `next`.
    after: Option<String>,
    limit: Option<u32>,
}

impl Page {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(MOST).min(MOST)
    }

    fn cut<T: AsRef<str>>(&self, names: &mut Vec<T>) -> Option<String> {
        let limit = self.limit() as usize;
        let more = names.len() > limit;
        names.truncate(limit);
        names.last().filter(|_| more).map(|name| name.as_ref().to_owned())
    }
}

/// `GET /api/v1/repositories?after=&limit=`
async fn repositories(
    caller: Caller,
    State(services): State<Services>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Value>> {
    if !caller.policy().may_list(caller.principal()) {
        return Err(Error::Denied("the token does not grant the list of repositories".to_owned()));
    }
    let (after, limit) = (page.after.as_deref(), page.limit() + 1);
    let names = services.policy.repositories(&*services.catalog, caller.principal(), after, limit);
    let mut names = names.await?;
    let next = page.cut(&mut names);
    Ok(Json(json!({ "repositories": names, "next": next })))
}

/// `GET /api/v1/repositories/{name}/tags?after=&limit=`
async fn tags(
    caller: Caller,
    State(services): State<Services>,
    Path(path): Path<String>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Value>> {
    let name = path.strip_suffix("/tags").ok_or_else(super::no_endpoint)?;
    let repo: RepoName = name.parse().map_err(|error| Error::Invalid(format!("{error}")))?;
    // Before anything is looked up: a repository that may not be seen is as one that is not there (R21).
    if !caller.policy().decide(caller.principal(), Verb::Pull, Some(&repo)).allowed {
        return Err(Error::Denied(format!("pull of {repo} is not allowed")));
    }
    let tags = services.catalog.tags(&repo, page.after.as_deref(), page.limit() + 1).await?;
    let mut tags = tags.ok_or_else(|| Error::Unknown(format!("there is no repository {repo}")))?;
    let next = page.cut(&mut tags);
    Ok(Json(json!({ "name": repo, "tags": tags, "next": next })))
}
