//! `POST /api/v1/check`: whether catalog and storage agree.

use std::time::Duration;

use axum::{extract::State, response::Response};
use serde::Deserialize;

use super::{Administrator, Error, Input, Result, lines};
use crate::{
    app::Services,
    upkeep::{
        check::{Check, Plan},
        read::PartError,
    },
};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Wanted {
    /// Which part of the blobs to read, as `1/7`; none without.
    read_data: Option<String>,
    /// Whether to put right what can be.
    repair: bool,
    /// Objects and records younger than so many seconds are left alone.
    grace_seconds: u64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { read_data: None, repair: false, grace_seconds: 24 * 3600 }
    }
}

/// Looks, and answers with findings as they come.
pub(super) async fn check(
    State(services): State<Services>,
    _: Administrator,
    Input(wanted): Input<Wanted>,
) -> Result<Response> {
    let read = wanted.read_data.as_deref().map(str::parse).transpose();
    let read = read.map_err(|error: PartError| Error::Invalid(format!("readData: {error}")))?;
    let plan = Plan { read, repair: wanted.repair, grace: Duration::from_secs(wanted.grace_seconds) };
    Ok(lines::answer(|teller| async move {
        let Services { catalog, store, records, clock, .. } = services;
        Check { catalog, store, records, clock }.run(plan, &teller).await
    }))
}
