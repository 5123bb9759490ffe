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
