use http::HeaderValue;

use super::*;

fn peer(address: &str, tls: bool) -> Peer {
    Peer { addr: address.parse().unwrap(), tls }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn behind(proxies: &[&str]) -> Origin {
    Origin { external_url: None, trusted_proxies: proxies.iter().map(|cidr| cidr.parse().unwrap()).collect() }
}

#[test]
fn without_a_proxy_a_location_stays_relative() {
    let said =
        headers(&[("host", "r.example:5000"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")]);
    for tls in [false, true] {
        assert_eq!(external_base(&peer("10.0.0.1:1", tls), &said, &behind(&[])), "");
    }
    let silent = headers(&[("host", "r.example:5000")]);
    assert_eq!(external_base(&peer("10.0.0.1:1", false), &silent, &behind(&["10.0.0.0/8"])), "");
}

#[test]
fn what_a_trusted_proxy_does_not_say_is_the_host_header_and_the_connection() {
    let origin = behind(&["10.0.0.0/8"]);
    let proto = headers(&[("host", "r.example:5000"), ("x-forwarded-proto", "https")]);
    assert_eq!(external_base(&peer("10.0.0.1:1", false), &proto, &origin), "https://r.example:5000");
    let host = headers(&[("host", "inner"), ("x-forwarded-host", "r.example")]);
    assert_eq!(external_base(&peer("10.0.0.1:1", true), &host, &origin), "https://r.example");
}

#[test]
fn a_trusted_proxy_is_believed_and_others_are_not() {
    let said =
        headers(&[("host", "inner:80"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "r.example")]);
    let origin = behind(&["10.0.0.0/8"]);
    assert_eq!(external_base(&peer("10.9.9.9:1", false), &said, &origin), "https://r.example");
    assert_eq!(external_base(&peer("11.9.9.9:1", false), &said, &origin), "");
}

#[test]
fn the_standard_header_goes_before_the_customary_ones_and_the_nearest_proxy_before_others() {
    let said = headers(&[
        ("host", "inner"),
        (
            "forwarded",
            "for=6.6.6.6;proto=http;host=evil, for=\"[2001:db8::1]:4\"; Proto=https; host=\"r.example:8443\"",
        ),
        ("x-forwarded-host", "other"),
    ]);
    let origin = behind(&["::1/128"]);
    assert_eq!(external_base(&peer("[::1]:1", false), &said, &origin), "https://r.example:8443");
    assert_eq!(client_address(&peer("[::1]:1", false), &said, &origin).to_string(), "2001:db8::1");
}

#[test]
fn the_configured_address_goes_before_everything() {
    let origin = Origin { external_url: Some("https://r.example/x".into()), ..behind(&["0.0.0.0/0"]) };
    let said = headers(&[("host", "a"), ("x-forwarded-host", "b")]);
    assert_eq!(external_base(&peer("1.1.1.1:1", false), &said, &origin), "https://r.example/x");
}

#[test]
fn r35_a_host_that_is_none_leaves_the_location_relative() {
    for host in ["user@evil", "a/b", "a b", "", "a?b"] {
        let mut said = HeaderMap::new();
        said.insert("x-forwarded-host", HeaderValue::from_str(host).unwrap());
        assert_eq!(external_base(&peer("1.1.1.1:1", false), &said, &behind(&["1.1.1.1/32"])), "", "{host}");
    }
}

#[test]
fn the_clients_address_is_the_last_that_no_trusted_proxy_has() {
    let said = headers(&[("x-forwarded-for", "6.6.6.6, 9.9.9.9"), ("x-forwarded-for", "10.0.0.7")]);
    let origin = behind(&["10.0.0.0/8"]);
    assert_eq!(client_address(&peer("10.0.0.1:1", false), &said, &origin).to_string(), "9.9.9.9");
    assert_eq!(client_address(&peer("11.0.0.1:1", false), &said, &origin).to_string(), "11.0.0.1");
    let hidden = headers(&[("forwarded", "for=unknown")]);
    assert_eq!(client_address(&peer("10.0.0.1:1", false), &hidden, &origin).to_string(), "10.0.0.1");
}

#[test]
fn a_quote_that_a_client_leaves_open_does_not_hide_it() {
    let origin = behind(&["10.0.0.0/8"]);
    for (name, value) in [
        ("forwarded", "for=\"x, for=9.9.9.9"),
        ("forwarded", "for=\", for=\"9.9.9.9:80\""),
        ("x-forwarded-for", "\"x, 9.9.9.9"),
    ] {
        let said = headers(&[(name, value)]);
        let address = client_address(&peer("10.0.0.1:1", false), &said, &origin);
        assert_eq!(address.to_string(), "9.9.9.9", "{value}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_a_client_sends_the_proxys_word_counts(sent in "[ -~]{0,40}|[for=\",;. 0-9\\\\]{0,40}") {
        let origin = behind(&["10.0.0.0/8"]);
        for (name, own) in [("forwarded", "for=\"9.9.9.9:80\";proto=https"), ("x-forwarded-for", "9.9.9.9")] {
            let mut said = HeaderMap::new();
            said.insert(name, HeaderValue::from_str(&format!("{sent}, {own}")).unwrap());
            let address = client_address(&peer("10.0.0.1:1", false), &said, &origin);
            proptest::prop_assert_eq!(address.to_string(), "9.9.9.9");
        }
    }
}
