//! Requests that a page of another site makes a browser send (R35): none of them changes anything.

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, header};

use super::{Error, input::is_json};
use crate::app::Services;

/// Lets a request through that changes nothing, or that no page of another site can have made.
pub(super) async fn same_site(State(services): State<Services>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && let Err(error) = check(request.headers(), services.origin.external_url.as_deref()) {
        return error.into_response();
    }
    next.run(request).await
}

/// Browsers say where a request comes from; programs that are none say nothing.
fn check(headers: &HeaderMap, external_url: Option<&str>) -> Result<(), Error> {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or("?"));
    let other = || Error::Denied("a page of another site sent this request; nothing was changed".to_owned());
    if text("sec-fetch-site").is_some_and(|site| !["same-origin", "none"].contains(&site)) {
        return Err(other());
    }
    if let Some(origin) = text(header::ORIGIN.as_str()) {
        let host = origin.split_once("://").map(|(_, host)| host);
        let own = text(header::HOST.as_str());
        let ours = (host.is_some() && host == own)
            || external_url.is_some_and(|url| url.eq_ignore_ascii_case(origin));
        if !ours {
            return Err(other());
        }
    }
    // A form can be sent without asking, and so can text; JSON cannot.
    let typed = headers.get(header::CONTENT_TYPE);
    let empty = text(header::CONTENT_LENGTH.as_str()).is_none_or(|length| length == "0")
        && !headers.contains_key(header::TRANSFER_ENCODING);
    if is_json(typed) || (typed.is_none() && empty) { Ok(()) } else { Err(Error::MediaType) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &str)]) -> Result<(), Error> {
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        check(&headers.collect(), Some("https://registry.example"))
    }

    #[test]
    fn r35_what_a_page_of_another_site_sends_changes_nothing() {
        let json = ("content-type", "application/json");
        for refused in [
            vec![json, ("sec-fetch-site", "cross-site")],
            vec![json, ("sec-fetch-site", "same-site")],
            vec![json, ("host", "127.0.0.1:5000"), ("origin", "https://evil.example")],
            vec![json, ("host", "127.0.0.1:5000"), ("origin", "null")],
            vec![json, ("host", "127.0.0.1:5000"), ("origin", "http://127.0.0.1:8080")],
        ] {
            assert!(matches!(asked(&refused), Err(Error::Denied(_))), "{refused:?}");
        }
        for refused in [
            vec![("content-type", "application/x-www-form-urlencoded")],
            vec![("content-type", "text/plain"), ("content-length", "0")],
            vec![("content-length", "3")],
            vec![("transfer-encoding", "chunked")],
        ] {
            assert!(matches!(asked(&refused), Err(Error::MediaType)), "{refused:?}");
        }
    }

    #[test]
    fn programs_and_the_registrys_own_page_are_let_through() {
        let json = ("content-type", "application/json; charset=utf-8");
        for let_through in [
            vec![json],
            vec![],
            vec![("content-length", "0")],
            vec![json, ("sec-fetch-site", "same-origin"), ("host", "a:1"), ("origin", "http://a:1")],
            vec![json, ("sec-fetch-site", "none")],
            vec![json, ("host", "10.0.0.1"), ("origin", "https://registry.example")],
        ] {
            assert!(asked(&let_through).is_ok(), "{let_through:?}");
        }
    }
}
