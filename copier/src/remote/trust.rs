//! Where a server may send this client, and with what (C1, C3, C4).

use url::Url;

use super::suffix::registrable;
use crate::{Error, Result};

/// Host and port of two URLs agree, and so does the scheme: what is meant for one may be sent to the other.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// Reads a URL that a server sent, relative to where it was sent from. It loses user and password, which an HTTP client
/// would send as credentials.
///
/// # Errors
/// `Error::Refused` if it is no HTTP(S) URL, or leaves HTTPS (C3).
pub(super) fn follow(from: &Url, to: &str, what: &str) -> Result<Url> {
    let shown = super::escape::escaped(to, 512);
    let mut url = from.join(to).map_err(|fault| {
        Error::Refused(format!("{what} \"{shown}\" of {} is no URL: {fault}", host(from)))
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Error::Refused(format!(
            "{what} \"{shown}\" of {} is not an http or https URL",
            host(from)
        )));
    }
    if from.scheme() == "https" && url.scheme() != "https" {
        return Err(Error::Refused(format!("{what} of {} leaves HTTPS for \"{shown}\"", host(from))));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Both can only fail on URLs that have no host.
        let _cleared = (url.set_username(""), url.set_password(None));
    }
    Ok(url)
}

/// `host` or `host:port`, as people write it.
pub(super) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// Whether one of `allowed` (each `host` or `host:port`) is the URL's host.
pub(super) fn is_among(url: &Url, allowed: &[String]) -> bool {
    let (name, with_port) = (url.host_str().unwrap_or_default(), host(url));
    allowed
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(&with_port))
}

/// Allows or refuses credentials to a token service (C1): over HTTPS to the registry's own registrable domain; without
/// it to the registry's very host and port, or to another port of this machine; and to hosts that the user trusts.
///
/// # Errors
/// `Error::RefusingCredentials`.
pub(super) fn credentials_to(realm: &Url, registry: &Url, trusted: &[String]) -> Result<()> {
    let same_host = realm.host_str() == registry.host_str();
    let allowed = is_among(realm, trusted)
        || same_origin(realm, registry)
        || (same_host && (realm.scheme() == "https" || is_this_machine(realm)))
        || (realm.scheme() == "https" && is_same_domain(realm, registry));
    if allowed {
        return Ok(());
    }
    let why = if realm.scheme() == "https" {
        "which is neither it nor of its domain"
    } else if same_host {
        "which is another port of it, without HTTPS"
    } else {
        "which is another host, without HTTPS"
    };
    Err(Error::RefusingCredentials {
        host: host(realm),
        reason: format!(
            "the registry {} asks to send them there, {why}; if that is meant, trust it (--trusted-token-host), or \
             go on without credentials (--no-creds)",
            host(registry)
        ),
    })
}

/// Whether it is this machine, to which nothing goes over a wire.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether both are of one registrable domain by the public suffix list.
fn is_same_domain(one: &Url, other: &Url) -> bool {
    let domain = |url: &Url| match url.host() {
        Some(url::Host::Domain(name)) => registrable(name.trim_end_matches('.')).map(str::to_ascii_lowercase),
        _ => None,
    };
    domain(one).is_some_and(|one| domain(other) == Some(one))
}

/// Allows or refuses an upload's body to a `Location` (C4).
///
/// # Errors
/// `Error::Refused`.
pub(super) fn body_to(location: &Url, registry: &Url, trusted: &[String]) -> Result<()> {
    if same_origin(location, registry) || is_among(location, trusted) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "refusing to send a body to {}, where the registry {} wants it; if that is meant, name the host among the \
         trusted upload hosts",
        host(location),
        host(registry)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn c1_credentials_go_to_the_registry_and_its_own_domain_alone() {
        let trusted = ["sso.corp.example:8443".to_owned()];
        for (registry, realm, goes) in [
            ("https://registry-1.docker.io/v2/", "https://auth.docker.io/token", true),
            ("https://r.example.org/", "https://r.example.org/token", true),
            ("https://r.example.org/", "https://R.EXAMPLE.ORG:8443/token", true),
            // Nobody is between on this machine. Elsewhere another port without HTTPS may be anybody's.
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", true),
            ("http://localhost:5000/", "http://LOCALHOST:5001/token", true),
            ("http://[::1]:5000/", "http://[::1]:5001/token", true),
            ("http://r.example.org:5000/", "http://r.example.org:5000/token", true),
            ("http://r.example.org:5000/", "http://r.example.org:5001/token", false),
            ("http://r.example.org/", "http://r.example.org:8080/token", false),
            ("http://10.0.0.1:5000/", "http://10.0.0.1:5001/token", false),
            ("http://r.example.org:5000/", "https://r.example.org/token", true),
            ("https://r.example.org/", "https://sso.corp.example:8443/token", true),
            ("https://r.example.org/", "https://sso.corp.example/token", false),
            ("https://r.example.org/", "https://evil.example.com/token", false),
            ("https://r.example.org/", "https://example.org.evil.com/token", false),
            ("http://r.example.org/", "http://auth.example.org/token", false),
            // The public suffix list, with its private part: hosts of strangers share these.
            ("https://a.co.uk/", "https://evil.co.uk/token", false),
            ("https://1.dkr.ecr.us-east-1.amazonaws.com/", "https://x.s3.amazonaws.com/token", false),
            ("https://me.github.io/", "https://evil.github.io/token", false),
            ("https://\u{6211}.\u{516c}\u{53f8}.cn/", "https://evil.\u{516c}\u{53f8}.cn/token", false),
            (
                "https://r.\u{6211}.\u{516c}\u{53f8}.cn/",
                "https://auth.\u{6211}.\u{516c}\u{53f8}.cn/token",
                true,
            ),
            ("https://10.0.0.1/", "https://11.0.0.1/token", false),
            ("http://127.0.0.1:5000/", "http://127.0.0.2:5000/token", false),
            ("https://localhost/", "https://other.localhost/", false),
        ] {
            let answer = credentials_to(&url(realm), &url(registry), &trusted);
            assert_eq!(answer.is_ok(), goes, "{registry} {realm}");
            assert!(answer.err().is_none_or(|error| error.exit_code() == 3));
        }
    }

    #[test]
    fn c3_nothing_leaves_https_or_http() {
        let from = url("https://r.example.org/v2/a/blobs/x");
        for to in
            ["http://r.example.org/", "file:///etc/passwd", "ftp://r.example.org/x", "data:,x", "http://"]
        {
            let refused = follow(&from, to, "a redirect");
            assert!(refused.is_err_and(|error| error.exit_code() == 5), "{to}");
        }
        assert_eq!(follow(&from, "../y?z", "a redirect").unwrap().as_str(), "https://r.example.org/v2/a/y?z");
    }

    #[test]
    fn c1_a_url_loses_its_user_and_password() {
        let to =
            follow(&url("https://r.example.org/"), "https://u:p@cdn.example.org/x", "a redirect").unwrap();
        assert_eq!(to.as_str(), "https://cdn.example.org/x");
    }

    #[test]
    fn c4_a_body_stays_at_its_registry() {
        let registry = url("https://r.example.org/");
        let trusted = ["up.example.net".to_owned()];
        for (to, goes) in [
            ("https://r.example.org:443/up", true),
            ("https://up.example.net/1", true),
            ("https://r.example.org:8443/up", false),
            ("https://evil.example.net/up", false),
        ] {
            let answer = body_to(&url(to), &registry, &trusted);
            assert_eq!(answer.is_ok(), goes, "{to}");
            assert!(answer.err().is_none_or(|error| error.exit_code() == 5));
        }
    }
}
