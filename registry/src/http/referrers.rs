//! end-12: who refers to a manifest.

use axum::{body::Body, response::Response};
use berth_oci::{Descriptor, Digest, MediaType, manifest::referrers_index};
use http::{HeaderValue, header, request::Parts};

use super::{
    Api,
    access::{Access, Pull},
    error::ApiError,
    headers,
    page::{self, Page, encode, query},
};
use crate::catalog::{ReferrerRow, Referrers, ReferrersLimit};

/// A page ends before its descriptors come to so many bytes, as annotations can be large (R19).
const MAX_PAGE_BYTES: u64 = 4 * 1024 * 1024;

fn descriptor(row: ReferrerRow) -> Descriptor {
    Descriptor {
        media_type: row.media_type,
        digest: row.digest,
        size: row.size,
        urls: Vec::new(),
        annotations: row.annotations,
        data: None,
        artifact_type: row.artifact_type,
        platform: None,
    }
}

/// `GET /v2/<name>/referrers/<digest>[?artifactType=…]`: an index, empty when there is nobody,
/// whether or not the repository or the subject exists.
pub(super) async fn list(
    api: &Api,
    access: &Access<Pull>,
    subject: Digest,
    parts: &Parts,
) -> Result<Response, ApiError> {
    let page = Page::of(&parts.uri)?;
    let filter = query(&parts.uri, "artifactType").next().filter(|filter| !filter.is_empty());
    let after = page.last.as_deref().map(str::parse::<Digest>).transpose()?;
    let repo = access.repo();
    let limit = ReferrersLimit { entries: page.size, bytes: MAX_PAGE_BYTES };
    let found = api.inner.catalog.referrers(repo, &subject, filter.as_deref(), after.as_ref(), limit).await?;
    let Referrers { rows, more } = found;
    let last = rows.last().map(|row| row.digest.clone());

    let mut response = Response::new(Body::from(referrers_index(rows.into_iter().map(descriptor))));
    let to = response.headers_mut();
    to.insert(header::CONTENT_TYPE, HeaderValue::from_static(MediaType::OCI_INDEX));
    let mut also = String::new();
    if let Some(filter) = &filter {
        to.insert(headers::OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
        also = format!("&artifactType={}", encode(filter));
    }
    if let (true, Some(last)) = (more, last) {
        let path = format!("/v2/{repo}/referrers/{subject}");
        page::link_next(to, &path, page.size, last.as_str(), &also);
    }
    Ok(response)
}
