//! `/api/v1/gc`, `/retention/preview`, `/deleted` and `/undelete`: collection and what it leaves a way back from.

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use berth_oci::{ManifestReference, RepoName};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Administrator, Error, Parameters, Result};
use crate::{
    app::Services,
    catalog::{Deleted, Estimate, RecordName, Undeleted},
    gc::{GcError, Report},
};

/// Entries of a page of what can be brought back.
const PAGE: u32 = 1000;
/// Lines that may wait for a slow reader; more are left out, since the next says more.
const LINES: usize = 16;

impl From<GcError> for Error {
    fn from(error: GcError) -> Self {
        match error {
            GcError::Busy | GcError::Stranger(_) => Self::Conflict(error.to_string()),
            GcError::Catalog(error) => Self::Catalog(error),
            GcError::Storage(error) => Self::Internal(error.into()),
        }
    }
}

pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/api/v1/gc", get(last).post(run))
        .route("/api/v1/retention/preview", get(preview))
        .route("/api/v1/deleted", get(deleted))
        .route("/api/v1/undelete", post(undelete))
}

/// The last run, of whichever replica.
async fn last(_: Administrator, State(services): State<Services>) -> Result<Json<Value>> {
    Ok(Json(json!({ "last": services.collection.collector.last_report().await? })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    dry_run: bool,
}

/// Runs collection: `{"progress": …}` lines, then `{"report": …}` or `{"error": …}`. It goes on to its end
/// when the reader goes away.
async fn run(_: Administrator, State(services): State<Services>, body: Bytes) -> Result<Response> {
    let wanted: Wanted = if body.is_empty() { Wanted::default() } else { read(&body)? };
    if wanted.dry_run {
        let found = services.collection.collector.estimate().await?;
        return Ok(Json(json!({ "estimate": estimate(found) })).into_response());
    }
    let (line, lines) = mpsc::channel::<Value>(LINES);
    let collection = services.collection.clone();
    let stop = services.stop.clone();
    let (told, mut begun) = mpsc::channel::<std::result::Result<(), GcError>>(1);
    tokio::spawn(async move {
        let mut begin = Some(told);
        let outcome = collection
            .run(&stop, &mut |report: &Report| {
                if let Some(told) = begin.take() {
                    // Whoever asked may have gone away; the run goes on.
                    let _gone = told.try_send(Ok(()));
                }
                let _full = line.try_send(json!({ "progress": report }));
            })
            .await;
        match (outcome, begin.take()) {
            (Err(error), Some(told)) => drop(told.try_send(Err(error))),
            (outcome, _) => {
                let last = match outcome {
                    Ok(report) => json!({ "report": report }),
                    Err(error) => json!({ "error": { "code": "failed", "message": error.to_string() } }),
                };
                drop(line.send(last).await);
            }
        }
    });
    if let Some(Err(error)) = begun.recv().await {
        return Err(error.into());
    }
    let lines = tokio_stream(lines).map(|line| Ok::<_, std::convert::Infallible>(format!("{line}\n")));
    let mut response = Response::new(Body::from_stream(lines));
    let json_lines = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, json_lines);
    Ok(response)
}

fn tokio_stream(lines: mpsc::Receiver<Value>) -> impl futures_util::Stream<Item = Value> {
    futures_util::stream::unfold(lines, async |mut lines| lines.recv().await.map(|line| (line, lines)))
}

fn read<T: serde::de::DeserializeOwned>(body: &Bytes) -> Result<T> {
    serde_json::from_slice(body)
        .map_err(|error| Error::Invalid(format!("the request's JSON cannot be used: {error}")))
}

fn estimate(found: Estimate) -> Value {
    json!({ "manifests": found.manifests, "blobs": found.blobs, "bytes": found.bytes })
}

/// What retention would let go: the tags, and the bytes that only they need.
async fn preview(_: Administrator, State(services): State<Services>) -> Result<Json<Value>> {
    let found = services.collection.collector.preview().await?;
    let tags: Vec<_> = found.tags.iter().map(|(repo, tag)| format!("{repo}:{tag}")).collect();
    Ok(Json(json!({ "tags": tags, "freed": estimate(found.freed) })))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    repository: Option<String>,
    last: Option<String>,
}

/// What can be brought back: `?repository=` for one alone, `?last=` with the last entry for the next page.
async fn deleted(
    _: Administrator,
    State(services): State<Services>,
    Parameters(page): Parameters<Page>,
) -> Result<Json<Value>> {
    let repo = page.repository.as_deref().map(repository).transpose()?;
    let last = page.last.as_deref().map(named).transpose()?;
    let after = last.as_ref().map(|(repo, reference)| (repo, reference));
    let found = services.collection.collector.deleted(repo.as_ref(), after, PAGE).await?;
    if let (Some(repo), true) = (&repo, found.is_empty() && after.is_none())
        && services.catalog.tags(repo, None, 1).await?.is_none()
    {
        return Err(Error::Unknown(format!("there is no repository {repo}, and nothing was deleted in it")));
    }
    let entries: Vec<_> = found.iter().map(entry).collect();
    Ok(Json(json!({ "deleted": entries, "more": found.len() == PAGE as usize })))
}

fn entry(deleted: &Deleted) -> Value {
    let glue = match deleted.reference {
        ManifestReference::Tag(_) => ':',
        ManifestReference::Digest(_) => '@',
    };
    json!({
        "name": format!("{}{glue}{}", deleted.repo, deleted.reference),
        "digest": deleted.digest,
        "deleted_at": deleted.deleted_at.0,
    })
}

fn repository(text: &str) -> Result<RepoName> {
    text.parse().map_err(|error| Error::Invalid(format!("{text:?} is no name of a repository: {error}")))
}

/// `REPO:TAG` or `REPO@DIGEST`.
fn named(text: &str) -> Result<(RepoName, ManifestReference)> {
    let parts = text.split_once('@').or_else(|| text.rsplit_once(':'));
    let wrong = || Error::Invalid(format!("{text:?} is not REPOSITORY:TAG or REPOSITORY@DIGEST"));
    let (repo, reference) = parts.ok_or_else(wrong)?;
    Ok((repository(repo)?, reference.parse().map_err(|_| wrong())?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    name: String,
}

/// Brings `{"name": "REPO:TAG"}` or `REPO@DIGEST` back, with all that it refers to.
async fn undelete(_: Administrator, State(services): State<Services>, body: Bytes) -> Result<Json<Value>> {
    let Name { name } = read(&body)?;
    let (repo, reference) = named(&name)?;
    match services.collection.collector.undelete(&repo, &reference).await? {
        Undeleted::Restored { manifests, tags } => {
            // As a push: what is answered is on record.
            let names = manifests.iter().cloned().map(|digest| RecordName::Manifest(repo.clone(), digest));
            let tagged = tags.iter().cloned().map(|tag| RecordName::Tag(repo.clone(), tag));
            services.records.settle(names.chain(tagged)).await.map_err(GcError::from)?;
            Ok(Json(json!({ "manifests": manifests, "tags": tags })))
        }
        Undeleted::Unknown => {
            Err(Error::Unknown(format!("{name} was not deleted, or too long ago (gc.undelete)")))
        }
        Undeleted::Taken(digest) => Err(Error::Conflict(format!(
            "{name} has been set to {digest} since; delete that tag first, or undelete by digest"
        ))),
        Undeleted::Incomplete(digest) => {
            Err(Error::Conflict(format!("{name} cannot come back: {digest}, which it refers to, is gone")))
        }
    }
}
