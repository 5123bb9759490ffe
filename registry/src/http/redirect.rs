//! Blobs that the client fetches from the bucket itself.

use std::{net::IpAddr, time::Duration};

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};

use super::{
    Api,
    error::ApiError,
    headers,
    serve::{Peer, client_address},
};
use crate::{catalog::BlobRow, config::Cidr};

/// Who is sent to the bucket, and for which blobs.
#[derive(Clone, Debug, Default)]
pub struct Redirects {
    /// Any of these has to fit; none sends nobody.
    pub rules: Vec<Rule>,
    /// For how long a signed address is good.
    pub life: Duration,
}

/// Clients and blobs that a redirect is for.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Where clients are; everywhere when empty.
    pub networks: Vec<Cidr>,
    /// The size of the smallest blob.
    pub min_size: u64,
}

impl Redirects {
    fn wanted(&self, client: impl Fn() -> Option<IpAddr>, size: u64) -> bool {
        self.rules.iter().any(|rule| {
            let here = |address| rule.networks.iter().any(|network| network.contains(address));
            size >= rule.min_size && (rule.networks.is_empty() || client().is_some_and(here))
        })
    }
}

/// The 307 for a GET of a whole blob, if its client is to be sent to the bucket. The caller has been let in (R40): the
/// address that it is given is good for this one object, for reading and for a short time.
pub(super) async fn of(api: &Api, blob: &BlobRow, parts: &Parts) -> Result<Option<Response>, ApiError> {
    let settings = &api.inner.settings;
    let client = || {
        let peer = parts.extensions.get::<Peer>()?;
        Some(client_address(peer, &parts.headers, &settings.origin))
    };
    // Ranges are served from here: a client that resumes would otherwise have to know that an address was replaced.
    if parts.headers.contains_key(header::RANGE) || !settings.redirects.wanted(client, blob.size) {
        return Ok(None);
    }
    let Some(address) = api.inner.blobs.signed_url(blob, settings.redirects.life).await? else {
        return Ok(None);
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let to: &mut HeaderMap = response.headers_mut();
    // The address is a secret of this client's.
    to.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    to.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
    headers::content_digest(to, &blob.digest);
    headers::insert(to, header::LOCATION, &address);
    Ok(Some(response))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_go_by_where_the_client_is_and_how_large_the_blob_is() {
        let rule = |networks: &[&str], min_size| Rule {
            networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
            min_size,
        };
        let rules = vec![rule(&["10.0.0.0/8", "::1"], 0), rule(&[], 1000)];
        let redirects = Redirects { rules, life: Duration::from_secs(1) };
        for (client, size, wanted) in [
            (Some("10.1.2.3"), 1, true),
            (Some("::1"), 1, true),
            (Some("192.0.2.1"), 999, false),
            (Some("192.0.2.1"), 1000, true),
            (None, 999, false),
            (None, 1000, true),
        ] {
            let address = || client.map(|client| client.parse().unwrap());
            assert_eq!(redirects.wanted(address, size), wanted, "{client:?} {size}");
        }
        assert!(!Redirects::default().wanted(|| None, u64::MAX));
    }
}
