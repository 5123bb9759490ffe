use axum::{Router, routing::any};
use tower::ServiceExt;

use super::*;

fn id(given: &str) -> RequestId {
    RequestId::of(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_str(given).unwrap())]))
}

#[test]
fn r34_only_a_well_formed_request_id_is_taken_over() {
    assert_eq!(&*id("Ab-1._").0, "Ab-1._");
    for bad in ["", "a b", "a/b", "a\"b", &"x".repeat(65)] {
        assert_ne!(&*id(bad).0, bad);
        assert_eq!(id(bad).0.len(), 32);
    }
    assert_ne!(id(""), id(""));
}

#[test]
fn r34_what_a_client_sends_is_escaped_and_cut() {
    assert_eq!(&*printable(b"docker/28.0 go/1.24"), "docker/28.0 go/1.24");
    assert_eq!(&*printable(b"a\r\nb\x1b[0m\"\\\xff"), "a\\r\\nb\\x1b[0m\\\"\\\\\\xff");
    assert_eq!(printable(&b"x".repeat(300)).len(), 259);
}

fn observed(metrics: &Metrics) -> Router {
    let layer = Requests::new(metrics.clone(), Arc::default(), true, false);
    Router::new().route("/v2/", any(async |body: Bytes| body)).layer(layer)
}

#[tokio::test]
async fn a_request_is_named_and_counted_when_its_answer_has_ended() {
    let metrics = Metrics::default();
    let request = Request::put("/v2/").header("x-request-id", "mine").body(Body::from("12345")).unwrap();
    let response = observed(&metrics).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "mine");
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert!(metrics.render().unwrap().contains("berth_http_requests_in_flight 1"));
    assert_eq!(axum::body::to_bytes(response.into_body(), 100).await.unwrap(), "12345");
    let text = metrics.render().unwrap();
    for line in [
        "berth_http_requests_in_flight 0",
        "berth_http_requests_total{route=\"base\",method=\"PUT\",status=\"200\"} 1",
        "berth_http_received_bytes_total 5",
        "berth_http_sent_bytes_total 5",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[tokio::test]
async fn a_request_that_is_given_up_is_counted_as_such() {
    let metrics = Metrics::default();
    let layer = Requests::new(metrics.clone(), Arc::default(), true, true);
    let never = Router::new().route("/v2/", any(std::future::pending::<()>)).layer(layer);
    let answer = never.oneshot(Request::get("/v2/").body(Body::empty()).unwrap());
    assert!(futures_util::FutureExt::now_or_never(answer).is_none());
    let text = metrics.render().unwrap();
    assert!(text.contains("status=\"499\"} 1") && text.contains("in_flight 0"), "{text}");
}

#[tokio::test]
async fn a_blob_that_is_cut_in_mid_transfer_is_counted() {
    let metrics = Metrics::default();
    let layer = Requests::new(metrics.clone(), Arc::default(), false, false);
    let blob = async |headers: HeaderMap| {
        let piece = || Ok::<_, std::convert::Infallible>(Bytes::from_static(b"12345"));
        let mut response =
            Response::new(Body::from_stream(futures_util::stream::iter([piece(), piece(), piece()])));
        response.headers_mut().extend(headers);
        response
    };
    let blob = Router::new().route("/v2/a/blobs/x", any(blob)).layer(layer);
    // Whoever told the length does not ask for the end; whoever did not does.
    for (method, length, frames, cut) in [
        ("GET", Some("15"), 3, 0),
        ("GET", None, 4, 0),
        ("HEAD", Some("15"), 0, 0),
        ("GET", Some("15"), 1, 1),
        ("GET", None, 2, 2),
        ("GET", Some("15"), 0, 3),
    ] {
        let mut request = Request::builder().method(method).uri("/v2/a/blobs/x").body(Body::empty()).unwrap();
        if let Some(length) = length {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        let mut body = blob.clone().oneshot(request).await.unwrap().into_body();
        for frame in 0..frames {
            assert_eq!(http_body_util::BodyExt::frame(&mut body).await.is_some(), frame < 3);
        }
        drop(body);
        let text = metrics.render().unwrap();
        assert!(
            text.contains(&format!("berth_blobs_cut_total {cut}\n")),
            "{method} {length:?} {frames}: {text}"
        );
    }
}
