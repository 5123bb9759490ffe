//! What a request says, read into a type; what cannot be read is answered as every other fault is.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Query, Request},
};
use http::{header, request::Parts};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;

use super::{Error, Result};
use crate::catalog::BoxError;

/// Bytes of a body at most.
const MOST: usize = 1 << 20;

/// A body of JSON.
#[derive(Clone, Copy, Debug)]
pub struct Input<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Input<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self> {
        if !is_json(request.headers().get(header::CONTENT_TYPE)) {
            return Err(Error::MediaType);
        }
        let bytes = read(request.into_body()).await?;
        let read = serde_json::from_slice(&bytes);
        read.map(Self).map_err(|error| Error::Invalid(format!("the body: {error}")))
    }
}

async fn read(body: Body) -> Result<Bytes> {
    let read = Limited::new(body, MOST).collect().await;
    let fault = |error: BoxError| Error::Invalid(format!("the body cannot be read to its end: {error}"));
    Ok(read.map_err(fault)?.to_bytes())
}

/// Whether a content type says JSON. A form of another site's page can only be sent as something else.
pub(super) fn is_json(value: Option<&http::HeaderValue>) -> bool {
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The parameters of a query.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(read)| Self(read)).map_err(|error| Error::Invalid(error.body_text()))
    }
}
