//! The name by which a request came. While everybody on this machine may do everything, a page of another site
//! could make its own name point at this machine (DNS rebinding) and have a browser on it push and delete; by such a
//! name nobody is answered.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header, uri::Authority};

use super::serve::{Origin, Peer};

/// Answers requests that came by a name of this machine, or by the configured one.
pub async fn known_host(State(origin): State<Arc<Origin>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    // The control socket has no other end that a page could reach.
    let remote = request.extensions().get::<Peer>().is_some();
    let known = |host: &http::HeaderValue| {
        host.to_str().is_ok_and(|host| is_known(host, origin.external_url.as_deref()))
    };
    if !remote || headers.get_all(header::HOST).iter().all(known) {
        return next.run(request).await;
    }
    let body = Body::from(
        "This registry lets everybody on its machine push and delete, so it answers by that machine's own names alone. \
         Set server.external_url to the name that clients use, or server.insecure_open = true.\n",
    );
    (StatusCode::MISDIRECTED_REQUEST, body).into_response()
}

fn is_known(host: &str, external_url: Option<&str>) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let own = bare.parse::<IpAddr>().map_or_else(
        |_| name == "localhost" || name.ends_with(".localhost"),
        |address| address.to_canonical().is_loopback(),
    );
    let configured = external_url.and_then(|url| url.split_once("://")).map(|(_, authority)| authority);
    let configured = configured.and_then(|authority| authority.parse::<Authority>().ok());
    own || configured.is_some_and(|configured| configured.host().eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_and_the_configured_one_are_known() {
        let url = Some("https://registry.example");
        for known in [
            "localhost",
            "LOCALHOST:5000",
            "localhost.:5000",
            "a.localhost",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "[::ffff:127.0.0.1]",
            "registry.example",
            "Registry.Example:443",
        ] {
            assert!(is_known(known, url), "{known}");
        }
        for other in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1:5000",
            "[::]:5000",
            "0.0.0.0",
            "evil.example@localhost:1@evil.example",
            "",
            "a b",
        ] {
            assert!(!is_known(other, url), "{other}");
        }
        assert!(!is_known("registry.example", None));
    }
}
