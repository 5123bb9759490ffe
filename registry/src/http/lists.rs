//! end-1, end-8 and `_catalog`: that the registry is there, and what is in it.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header, request::Parts};
use serde_json::json;

use super::{
    Api,
    access::{Access, Caller, Pull},
    error::ApiError,
    page::{self, Page},
};

pub(super) fn json_response(body: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `GET /v2/`: 200 and an empty object.
pub(super) fn base() -> Response {
    json_response(&json!({}))
}

/// `GET /v2/<name>/tags/list`
pub(super) async fn tags(api: &Api, access: &Access<Pull>, parts: &Parts) -> Result<Response, ApiError> {
    let page = Page::of(&parts.uri)?;
    let repo = access.repo();
    let tags = api.inner.catalog.tags(repo, page.last.as_deref(), page.fetch()).await?;
    let mut tags = tags.ok_or(ApiError::NameUnknown)?;
    let next = page.cut(&mut tags);
    let mut response = json_response(&json!({ "name": repo, "tags": tags }));
    if let Some(last) = next {
        page::link_next(response.headers_mut(), &format!("/v2/{repo}/tags/list"), page.size, &last, "");
    }
    Ok(response)
}

/// `GET /v2/_catalog`: the repositories that the caller may pull.
pub(super) async fn repositories(api: &Api, caller: &Caller, parts: &Parts) -> Result<Response, ApiError> {
    caller.admit_list(parts)?;
    let page = Page::of(&parts.uri)?;
    let (catalog, last) = (&*api.inner.catalog, page.last.as_deref());
    let names = caller.policy().repositories(catalog, caller.principal(), last, page.fetch());
    let mut names = names.await?;
    let next = page.cut(&mut names);
    let mut response = json_response(&json!({ "repositories": names }));
    if let Some(last) = next {
        page::link_next(response.headers_mut(), "/v2/_catalog", page.size, &last, "");
    }
    Ok(response)
}
