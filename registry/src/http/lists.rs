//! end-1, end-8 and `_catalog`: that the registry is there, and what is in it.

use axum::{body::Body, response::Response};
use http::{HeaderValue, header, request::Parts};
use serde_json::json;

use super::{
    Api,
    access::{Access, Pull},
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

/// `GET /v2/_catalog`
pub(super) async fn repositories(api: &Api, parts: &Parts) -> Result<Response, ApiError> {
    let page = Page::of(&parts.uri)?;
    let mut names = api.inner.catalog.repositories(page.last.as_deref(), page.fetch()).await?;
    let next = page.cut(&mut names);
    let mut response = json_response(&json!({ "repositories": names }));
    if let Some(last) = next {
        page::link_next(response.headers_mut(), "/v2/_catalog", page.size, &last, "");
    }
    Ok(response)
}
