//! What is changed by `/api/v1` is written into the audit log, whichever endpoint does it.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, StatusCode};

use crate::{
    app::Services,
    audit::{Act, Outcome},
    auth::{Principal, Subject},
};

/// In a request's extensions: who it turned out to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(pub(super) Arc<OnceLock<Principal>>);

/// Records requests that change something, with their end.
pub(super) async fn recorded(State(services): State<Services>, mut request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let known = Known::default();
    request.extensions_mut().insert(known.clone());
    let (parts, body) = request.into_parts();
    let head = parts.clone();
    let response = next.run(Request::from_parts(parts, body)).await;
    let outcome = match response.status() {
        status if status.is_success() => Outcome::Done,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Outcome::Denied,
        _ => Outcome::Failed,
    };
    let nobody = Principal::anonymous();
    let who = known.0.get().unwrap_or(&nobody);
    // Who is asked who they are has done nothing yet, and whose login failed is in the log already.
    if response.status() == StatusCode::UNAUTHORIZED && who.subject == Subject::Anonymous {
        return response;
    }
    let status = response.status();
    services
        .gate
        .record(&head, who, Act::Admin, |entry| {
            entry.outcome = outcome;
            entry.reference = format!("{} {}", head.method, head.uri.path());
            if outcome != Outcome::Done {
                entry.detail = status.as_u16().to_string();
            }
        })
        .await;
    response
}
