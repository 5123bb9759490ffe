//! Answers that take their time: JSON objects, one a line, the last one the result.

use std::future::Future;

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::upkeep::{Teller, UpkeepError};

/// Runs `work` to its end, whether or not somebody listens, and answers with what it tells and then
/// `{"result": …}`, or `{"error": {"message": …}}`.
pub(super) fn answer<T, F>(work: impl FnOnce(Teller) -> F) -> Response
where
    T: Serialize,
    F: Future<Output = Result<T, UpkeepError>> + Send + 'static,
{
    let (teller, told) = Teller::new();
    let work = work(teller.clone());
    tokio::spawn(async move {
        let last = match work.await {
            Ok(result) => json!({ "result": result }),
            Err(error @ (UpkeepError::Refused(_) | UpkeepError::Source(..))) => failed(&error),
            Err(error) => {
                tracing::error!("Work for /api/v1 ended early: {error}");
                failed(&error)
            }
        };
        teller.tell(&last).await;
    });
    let mut response = Body::from_stream(stream::unfold(told, next)).into_response();
    let kind = HeaderValue::from_static("application/jsonl");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn failed(error: &UpkeepError) -> Value {
    json!({ "error": { "message": error.to_string() } })
}

type Told = mpsc::Receiver<Value>;

async fn next(mut told: Told) -> Option<(Result<Bytes, std::convert::Infallible>, Told)> {
    let line = told.recv().await?;
    Some((Ok(format!("{line}\n").into()), told))
}
