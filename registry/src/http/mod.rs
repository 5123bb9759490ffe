//! The distribution specification over HTTP: paths to typed requests, typed answers to the wire.

pub mod access;
mod blobs;
mod body;
pub mod error;
pub mod headers;
pub mod health;
mod host;
mod lists;
mod manifests;
pub mod page;
pub mod path;
pub mod redirect;
mod referrers;
pub mod serve;
pub mod token;
mod uploads;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderValue, Method, header, request::Parts};

pub use host::known_host;

use self::{
    access::{Delete, Gate, Pull, Push},
    error::ApiError,
    path::Endpoint,
    redirect::Redirects,
    serve::{Origin, Peer, client_address, external_base},
};
use crate::{
    blobs::Blobs,
    catalog::Catalog,
    limits::{Rates, Work},
    manifests::Manifests,
};

/// What the configuration says about the HTTP surface.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Manifests may have so many bytes.
    pub max_manifest_bytes: usize,
    /// Whether DELETE of manifests, tags and blobs is served.
    pub deletes: bool,
    /// Which address clients use, and which proxies are believed about it.
    pub origin: Arc<Origin>,
    /// Who fetches blobs from the bucket itself.
    pub redirects: Redirects,
    /// How many requests users and addresses may make, where that is limited.
    pub rates: Option<Arc<Rates>>,
}

/// Everything that handlers use.
#[derive(Clone, Debug)]
pub struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    catalog: Arc<dyn Catalog>,
    blobs: Blobs,
    manifests: Manifests,
    gate: Gate,
    settings: Settings,
}

impl Api {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        catalog: Arc<dyn Catalog>,
        blobs: Blobs,
        manifests: Manifests,
        gate: Gate,
        settings: Settings,
    ) -> Self {
        Self { inner: Arc::new(Inner { catalog, blobs, manifests, gate, settings }) }
    }
}

/// The routes under `/v2/`.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v2", any(dispatch))
        .route("/v2/", any(dispatch))
        .route("/v2/{*rest}", any(dispatch))
        .with_state(api)
}

async fn dispatch(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let base = match parts.extensions.get::<Peer>() {
        Some(peer) => external_base(peer, &parts.headers, &api.inner.settings.origin),
        None => String::new(),
    };
    let mut response = match answer(&api, parts, body).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    headers::make_absolute(headers, &base);
    headers.insert(headers::DOCKER_API_VERSION, HeaderValue::from_static("registry/2.0"));
    // Whatever a browser makes of a blob, it must not run it.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What a request counts as for those who may make so many; `None` for what counts as nothing.
fn work(endpoint: &Endpoint, method: &Method) -> Option<Work> {
    match (endpoint, method) {
        (Endpoint::Manifest(..), &Method::GET) => Some(Work::Pull),
        (Endpoint::Manifest(..), &Method::PUT | &Method::DELETE)
        | (Endpoint::Blob(..), &Method::DELETE)
        | (Endpoint::Uploads(_), &Method::POST) => Some(Work::Push),
        _ => None,
    }
}

async fn answer(api: &Api, parts: Parts, body: Body) -> Result<Response, ApiError> {
    let endpoint = path::parse(parts.uri.path())?;
    // The address before its credentials are looked at, which may cost more than all the rest.
    let work = api.inner.settings.rates.as_deref().zip(work(&endpoint, &parts.method));
    if let Some((rates, work)) = work
        && let Some(peer) = parts.extensions.get::<Peer>()
    {
        rates.address(work, client_address(peer, &parts.headers, &api.inner.settings.origin))?;
    }
    let caller = api.inner.gate.identify(&parts).await?;
    if let Some((rates, work)) = work {
        rates.user(work, &caller.principal().subject)?;
    }
    let method = parts.method.clone();
    match (endpoint, method) {
        (Endpoint::Base, Method::GET | Method::HEAD) => {
            caller.enter(&parts)?;
            Ok(lists::base())
        }
        (Endpoint::Catalog, Method::GET | Method::HEAD) => lists::repositories(api, &caller, &parts).await,
        (Endpoint::Tags(repo), Method::GET | Method::HEAD) => {
            lists::tags(api, &caller.admit::<Pull>(&parts, repo)?, &parts).await
        }
        (Endpoint::Referrers(repo, subject), Method::GET | Method::HEAD) => {
            referrers::list(api, &caller.admit::<Pull>(&parts, repo)?, subject?, &parts).await
        }
        (Endpoint::Manifest(repo, reference, text), Method::GET | Method::HEAD) => {
            let access = caller.admit::<Pull>(&parts, repo)?;
            manifests::get(api, &access, manifests::to_read(reference, text)?, &parts).await
        }
        (Endpoint::Manifest(repo, reference, _), Method::PUT) => {
            let access = caller.admit::<Push>(&parts, repo)?;
            manifests::put(api, &caller, &access, manifests::to_write(reference)?, &parts, body).await
        }
        (Endpoint::Manifest(repo, reference, text), Method::DELETE) => {
            let access = caller.admit::<Delete>(&parts, repo)?;
            manifests::delete(api, &caller, &access, manifests::to_read(reference, text)?, &parts).await
        }
        (Endpoint::Blob(repo, digest), Method::GET | Method::HEAD) => {
            blobs::get(api, &caller.admit::<Pull>(&parts, repo)?, digest?, &parts).await
        }
        (Endpoint::Blob(repo, digest), Method::DELETE) => {
            let access = caller.admit::<Delete>(&parts, repo)?;
            blobs::delete(api, &caller, &access, digest?, &parts).await
        }
        (Endpoint::Uploads(repo), Method::POST) => {
            uploads::start(api, &caller, &caller.admit::<Push>(&parts, repo)?, &parts, body).await
        }
        (Endpoint::Upload(repo, id), Method::GET) => {
            uploads::status(api, &caller.admit::<Push>(&parts, repo)?, id).await
        }
        (Endpoint::Upload(repo, id), Method::PATCH) => {
            uploads::append(api, &caller.admit::<Push>(&parts, repo)?, id, &parts, body).await
        }
        (Endpoint::Upload(repo, id), Method::PUT) => {
            uploads::finish(api, &caller.admit::<Push>(&parts, repo)?, id, &parts, body).await
        }
        (Endpoint::Upload(repo, id), Method::DELETE) => {
            uploads::cancel(api, &caller.admit::<Push>(&parts, repo)?, id).await
        }
        (Endpoint::Base | Endpoint::Catalog | Endpoint::Tags(_) | Endpoint::Referrers(..), _) => {
            Err(ApiError::MethodNotAllowed("GET, HEAD"))
        }
        (Endpoint::Manifest(..), _) => Err(ApiError::MethodNotAllowed("GET, HEAD, PUT, DELETE")),
        (Endpoint::Blob(..), _) => Err(ApiError::MethodNotAllowed("GET, HEAD, DELETE")),
        (Endpoint::Uploads(_), _) => Err(ApiError::MethodNotAllowed("POST")),
        (Endpoint::Upload(..), _) => Err(ApiError::MethodNotAllowed("GET, PATCH, PUT, DELETE")),
    }
}
