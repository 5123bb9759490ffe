//! `/api/v1/audit`: who did what.

use axum::{Json, Router, extract::State, routing::get};
use jiff::Timestamp as Moment;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Administrator, Error, Parameters, Result};
use crate::{
    app::Services,
    audit::Act,
    catalog::{AuditPlace, AuditQuery, AuditRow},
    clock::Timestamp,
};

/// Entries of a page, unless fewer are asked for.
const MOST: u32 = 1000;

pub(super) fn routes() -> Router<Services> {
    Router::new().route("/api/v1/audit", get(list))
}

/// Which entries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    repo: Option<String>,
    /// As `user:alice`; `anonymous` for nobody.
    who: Option<String>,
    verb: Option<String>,
    /// RFC 3339.
    since: Option<String>,
    /// RFC 3339; not at it.
    until: Option<String>,
    /// What the last page gave as `next`.
    after: Option<String>,
    limit: Option<u32>,
}

/// `GET /api/v1/audit?repo=&who=&verb=&since=&until=&after=&limit=`: entries, the latest first, and with `next` the
/// place where the next page begins.
async fn list(
    _caller: Administrator,
    State(services): State<Services>,
    Parameters(filter): Parameters<Filter>,
) -> Result<Json<Value>> {
    let limit = filter.limit.unwrap_or(100).min(MOST);
    let verbs = Act::ALL.map(Act::as_str);
    if let Some(verb) = &filter.verb
        && !verbs.contains(&verb.as_str())
    {
        return Err(Error::Invalid(format!("verb: {verb:?} is none of {}", verbs.join(", "))));
    }
    let until = filter.until.as_deref().map(|text| moment("until", text)).transpose()?;
    // Rows at the very moment come after a place there with no number.
    let until = until.map(|time| AuditPlace { time, id: i64::MIN });
    let after = filter.after.as_deref().map(place).transpose()?;
    let query = AuditQuery {
        repository: filter.repo,
        who: filter.who.map(|who| if who == "anonymous" { String::new() } else { who }),
        verb: filter.verb,
        since: filter
            .since
            .as_deref()
            .map(|text| moment("since", text))
            .transpose()?
            .unwrap_or(Timestamp(i64::MIN)),
        before: until.into_iter().chain(after).min(),
        // One more, to know whether there are others.
        limit: limit + 1,
    };
    let mut rows = services.catalog.audit(&query).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|(place, _)| format!("{}.{}", place.time.0, place.id));
    let entries: Vec<Value> = rows.iter().map(|(_, row)| shown(row)).collect();
    Ok(Json(json!({ "entries": entries, "next": next })))
}

fn moment(name: &str, text: &str) -> Result<Timestamp> {
    let read = text.parse::<Moment>();
    let fault = |_| Error::Invalid(format!("{name}: {text:?} is no time like 2026-11-21T08:00:00Z"));
    read.map(|moment| Timestamp(moment.as_microsecond())).map_err(fault)
}

fn place(text: &str) -> Result<AuditPlace> {
    let read = text.split_once('.').and_then(|(time, id)| {
        Some(AuditPlace { time: Timestamp(time.parse().ok()?), id: id.parse().ok()? })
    });
    read.ok_or_else(|| Error::Invalid(format!("after: {text:?} is not what a page gave as next")))
}

fn shown(row: &AuditRow) -> Value {
    let time = Moment::from_microsecond(row.time.0).map(|moment| moment.to_string()).unwrap_or_default();
    let who = if row.who.is_empty() { "anonymous" } else { &row.who };
    json!({
        "time": time,
        "who": who,
        "address": row.address,
        "verb": row.verb,
        "repository": row.repository,
        "reference": row.reference,
        "digest": row.digest,
        "outcome": row.outcome,
        "request_id": row.request_id,
        "detail": row.detail,
    })
}
