//! Around every request: its id, its line in the log, its place in the metrics.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower::{Layer, Service};
use tracing::{Instrument, info, info_span};
use uuid::Uuid;

use super::metrics::{Ended, Metrics, Route};
use crate::http::serve::{Origin, Peer, client_address};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a path or user agent that are logged.
const LONGEST: usize = 256;

/// In every request's extensions: what names it in logs. Also in the answer, as `X-Request-Id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    /// The client's own, if it is well formed (up to 64 of `A-Za-z0-9._-`), else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        });
        Self(given.map_or_else(|| Uuid::now_v7().simple().to_string().into(), Into::into))
    }
}

/// The layer that goes around the whole router.
#[derive(Clone, Debug)]
pub struct Requests {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    metrics: Metrics,
    origin: Arc<Origin>,
    /// Whether each request has its line.
    log: bool,
    /// Whether fields repeat what the message says.
    json: bool,
}

impl Requests {
    /// Counts in `metrics`; with `log`, writes a line for each request, whose client is who `origin`'s proxies say.
    #[must_use]
    pub fn new(metrics: Metrics, origin: Arc<Origin>, log: bool, json: bool) -> Self {
        Self { shared: Arc::new(Shared { metrics, origin, log, json }) }
    }
}

impl<S> Layer<S> for Requests {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, shared: self.shared.clone() }
    }
}

/// A service whose requests are observed.
#[derive(Clone, Debug)]
pub struct Observed<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = RequestId::of(request.headers());
        let mut observed = Observation::new(self.shared.clone(), &request, id.clone());
        request.extensions_mut().insert(id.clone());
        let received = observed.received.clone();
        if !request.body().is_end_stream() {
            request = request.map(|inner| Body::new(Counted { inner, bytes: received }));
        }
        let span = info_span!("request", id = &*id.0);
        let answer = self.inner.call(request).instrument(span);
        Box::pin(async move {
            let Ok(mut response) = answer.await;
            observed.status = response.status();
            let length = response.headers().get(header::CONTENT_LENGTH);
            observed.due = length.and_then(|length| length.to_str().ok()?.parse().ok());
            if let Ok(id) = HeaderValue::from_str(&id.0) {
                response.headers_mut().insert(REQUEST_ID, id);
            }
            Ok(response.map(|inner| Body::new(Answer { inner, observed })))
        })
    }
}

/// One request, from its head to the end of its answer: the drop is the end.
struct Observation {
    shared: Arc<Shared>,
    began: Instant,
    id: RequestId,
    route: Route,
    method: Method,
    path: Box<str>,
    user_agent: Box<str>,
    peer: Option<std::net::IpAddr>,
    status: StatusCode,
    received: Arc<AtomicU64>,
    sent: u64,
    /// Content-Length, where there is one.
    due: Option<u64>,
    complete: bool,
}

impl Observation {
    fn new(shared: Arc<Shared>, request: &Request, id: RequestId) -> Self {
        shared.metrics.began();
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>();
        Self {
            began: Instant::now(),
            id,
            route: Route::of(request.uri().path()),
            method: request.method().clone(),
            path: printable(request.uri().path().as_bytes()),
            user_agent: headers
                .get(header::USER_AGENT)
                .map_or_else(Box::default, |agent| printable(agent.as_bytes())),
            peer: peer.map(|peer| client_address(peer, headers, &shared.origin)),
            // What nginx logs for a client that went before there was an answer.
            status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            received: Arc::default(),
            sent: 0,
            due: None,
            complete: false,
            shared,
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        let received = self.received.load(Ordering::Relaxed);
        let (route, method, status, sent) = (self.route, &self.method, self.status, self.sent);
        self.shared.metrics.ended(&Ended { route, method, status, received, sent, duration });
        let blob_cut =
            route == Route::Blob && *method == Method::GET && status.is_success() && !self.complete;
        if blob_cut {
            self.shared.metrics.blob_cut();
        }
        if !self.shared.log {
            if blob_cut {
                let (path, peer) = (&*self.path, self.peer.map(tracing::field::display));
                info!(sent, peer, id = &*self.id.0, "{path} was cut after {sent} bytes");
            }
            return;
        }
        let (path, status, id) = (&*self.path, status.as_u16(), &*self.id.0);
        let cut = if self.complete { "" } else { ", cut short" };
        let peer = self.peer.map(tracing::field::display);
        let millis = duration.as_secs_f64() * 1e3;
        let (milliseconds, user_agent) = ((millis * 1e3).round() / 1e3, &*self.user_agent);
        if self.shared.json {
            info!(
                target: "berth_registry::requests",
                id, method = method.as_str(), path, status, received, sent, milliseconds, peer, user_agent,
                complete = self.complete, "{method} {path}: {status}{cut}"
            );
        } else {
            info!(
                target: "berth_registry::requests",
                received, sent, milliseconds, peer, user_agent, id, "{method} {path}: {status}{cut}"
            );
        }
    }
}

/// Text of a client's for a log: visible ASCII, the rest as `\xNN`, cut where it is long.
fn printable(bytes: &[u8]) -> Box<str> {
    let plain = bytes.len() <= LONGEST
        && bytes.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'\\' && *byte != b'"');
    if plain && let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = bytes[..bytes.len().min(LONGEST)].escape_ascii().to_string();
    if bytes.len() > LONGEST {
        text.push_str("...");
    }
    text.into()
}

/// A request's body that counts its bytes.
struct Counted {
    inner: Body,
    bytes: Arc<AtomicU64>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.bytes.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body. Frames are handed on as they are: some only stand for bytes (see [`crate::http::serve`]).
struct Answer {
    inner: Body,
    observed: Observation,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.observed.sent += frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(_)) => {}
            None => self.observed.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // An answer to HEAD is never asked for its body, and one whose length is known not for its end.
        let all = self.observed.due.is_some_and(|due| self.observed.sent >= due);
        self.observed.complete |= all || self.inner.is_end_stream() || self.observed.method == Method::HEAD;
    }
}

#[cfg(test)]
#[path = "requests/tests.rs"]
mod tests;
