//! From hyper to the router: what each request is given, and what ends with it.

use std::{convert::Infallible, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::{Body as _, Incoming};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::{
    body::{Active, RequestBody, ResponseBody},
    framing::Head,
    origin::Peer,
    outlet::Outlet,
    state::State,
};
use crate::auth::ClientCertificate;

/// In every request's extensions: cancelled when the server will wait no longer. Whoever holds
/// work that can be saved has a few seconds from then on.
#[derive(Clone, Debug)]
pub struct Cut(pub CancellationToken);

/// One connection's service.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) state: Arc<State>,
    pub(super) peer: Peer,
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) outlet: Option<Outlet>,
    pub(super) body_window: Duration,
    pub(super) body_rate: u64,
    pub(super) cut: CancellationToken,
    pub(super) handlers: TaskTracker,
}

impl Service {
    fn request(&self, request: Request<Incoming>) -> Request<Body> {
        let (mut parts, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            Body::new(RequestBody::new(body, self.cut.clone(), self.body_window, self.body_rate))
        };
        parts.extensions.insert(self.peer);
        if let Some(certificate) = &self.certificate {
            parts.extensions.insert(certificate.clone());
        }
        parts.extensions.insert(Cut(self.cut.clone()));
        if let Some(outlet) = self.outlet.as_ref().filter(|_| parts.version <= Version::HTTP_11) {
            parts.extensions.insert(outlet.clone());
        }
        // HTTP/2 names the host in its target alone; behind here everybody looks at one place.
        if !parts.headers.contains_key(header::HOST)
            && let Some(authority) = parts.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            parts.headers.insert(header::HOST, host);
        }
        Request::from_parts(parts, body)
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (number, head) = self.state.begin();
        let mut active = Active::new(self.state.clone(), number);
        let windowed = request.version() == Version::HTTP_2;
        if !windowed && head.is_none_or(Head::is_ambiguous) {
            active.answered();
            return Box::pin(async move {
                tracing::debug!("A request whose end is ambiguous is refused");
                let why = "Content-Length, Transfer-Encoding or a line that ends with LF alone leave open where the request ends\n";
                Ok(bad_request(why).map(|body| ResponseBody::new(body, active, false)))
            });
        }
        // RFC 9112, section 3.2: none, or two that proxies before us may have chosen between.
        if request.version() == Version::HTTP_11
            && request.headers().get_all(header::HOST).iter().count() != 1
        {
            active.answered();
            return Box::pin(async move {
                let why = "a request of HTTP/1.1 has one Host header\n";
                Ok(bad_request(why).map(|body| ResponseBody::new(body, active, false)))
            });
        }
        let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let answer = self.router.clone().call(self.request(request));
        let finish = move |response: Response<Body>| {
            active.answered();
            Ok(response.map(|body| ResponseBody::new(body, active, windowed)))
        };
        if safe {
            return Box::pin(async move {
                let Ok(response) = answer.await;
                finish(response)
            });
        }
        // What writes is not dropped half-way when its client goes: it reads an error and ends in its own order.
        let task = self.handlers.spawn(answer);
        Box::pin(async move {
            finish(match task.await {
                Ok(Ok(response)) => response,
                Err(error) => {
                    tracing::error!("A handler ended without an answer: {error}");
                    plain(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n")
                }
            })
        })
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn bad_request(why: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::BAD_REQUEST, why);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
