//! Lists: pages that have no end (C7).

use super::{Hostile, Lab, Reply};

#[tokio::test]
async fn c7_a_page_that_points_at_itself_is_found_out() {
    let registry = Hostile::start(|request| {
        Reply::new(200, r#"{"tags":["a"]}"#).with("Link", format!("<{}>; rel=\"next\"", request.path))
    })
    .await;
    let error = Lab::new().open(&registry.host(), "app").tags().await.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("comes twice"), "{error}");
    assert_eq!(registry.lines().len(), 1);
}

#[tokio::test]
async fn c7_pages_that_go_in_a_circle_are_found_out() {
    let registry = Hostile::start(|request| {
        let other = if request.path.contains("last=b") { "a" } else { "b" };
        Reply::new(200, r#"{"tags":["a"]}"#)
            .with("Link", format!("</v2/app/tags/list?n=1000&last={other}>; rel=\"next\""))
    })
    .await;
    let error = Lab::new().open(&registry.host(), "app").tags().await.unwrap_err();
    assert!(error.to_string().contains("comes twice"), "{error}");
    assert_eq!(registry.lines().len(), 3);
}

#[tokio::test]
async fn c7_a_list_has_at_most_a_thousand_pages() {
    let registry = Hostile::start(|request| {
        let n = request.header("x").map_or(request.path.len(), str::len);
        Reply::new(200, r#"{"tags":["a"]}"#)
            .with("Link", format!("</v2/app/tags/list?n=1000&last={}>; rel=\"next\"", "x".repeat(n - 20)))
    })
    .await;
    let error = Lab::new().open(&registry.host(), "app").tags().await.unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("more than 1000 pages"), "{error}");
    assert_eq!(registry.lines().len(), 1000);
}

#[tokio::test]
async fn tags_come_page_by_page_and_what_is_no_tag_is_left_out() {
    let registry = Hostile::start(|request| match request.path.as_str() {
        "/v2/app/tags/list?n=1000" => Reply::new(200, r#"{"name":"app","tags":["b","a","\u001b[2J"]}"#)
            .with("Link", "<list?n=1000&last=b>; rel=next"),
        "/v2/app/tags/list?n=1000&last=b" => Reply::new(200, r#"{"name":"app","tags":["c"]}"#),
        _ => Reply::new(200, r#"{"name":"app","tags":null}"#),
    })
    .await;
    let lab = Lab::new();
    let tags = lab.open(&registry.host(), "app").tags().await.unwrap();
    assert_eq!(tags.iter().map(AsRef::<str>::as_ref).collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(lab.open(&registry.host(), "empty").tags().await.unwrap(), []);
}

#[tokio::test]
async fn c1_the_next_page_on_another_host_gets_no_credentials() {
    let other = Hostile::at("127.0.0.2", None, |_| Reply::new(200, r#"{"tags":["b"]}"#)).await;
    let link = format!("<http://{}/next>; rel=\"next\"", other.host());
    let registry = Hostile::start(move |request| match request.header("authorization") {
        None => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) => Reply::new(200, r#"{"tags":["a"]}"#).with("Link", &link),
    })
    .await;
    let lab = Lab::new();
    let repository = lab.open_as(&registry.host(), "app", &super::somebody());
    // Nobody named it, and it is at a private address.
    assert_eq!(repository.tags().await.unwrap_err().exit_code(), 5);
    let _named = lab.open(&other.host(), "any");
    assert_eq!(repository.tags().await.unwrap().len(), 2);
    assert_eq!(other.seen()[0].header("authorization"), None);
}
