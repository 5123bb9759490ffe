//! The registry under test.

use std::{sync::Arc, time::Duration};

use reqwest::Url;

use super::auth::{Auth, Challenge};

/// A user's name and password.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password, or a token that the registry takes in its place.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, …)", self.username)
    }
}

/// How to reach a registry.
#[derive(Clone, Debug, Default)]
pub struct TargetOptions {
    /// Who we are; anonymous otherwise.
    pub credentials: Option<Credentials>,
    /// Take any certificate.
    pub insecure: bool,
}

/// Why there is nothing to test.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not a URL of a registry.
    #[error("{0}: not an http or https URL")]
    Url(String),
    /// No answer.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, #[source] reqwest::Error),
    /// It wants credentials that were not given, or in a way that is not known.
    #[error("{0} answers 401 and no way in was found: {1}")]
    Unauthorized(String, String),
    /// It answers, but not as a registry does.
    #[error("{0} is no registry: GET /v2/ answers {1}")]
    NotARegistry(String, u16),
}

/// A registry that answered once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Target {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    base: Url,
    client: reqwest::Client,
    auth: Auth,
}

impl Target {
    /// Asks `GET /v2/` of `url` and finds out how to log in. A URL without a scheme is http for
    /// loopback and https elsewhere.
    pub async fn connect(url: &str, options: &TargetOptions) -> Result<Self, ConnectError> {
        let base = parse_base(url).ok_or_else(|| ConnectError::Url(url.to_owned()))?;
        let unreachable = |error| ConnectError::Unreachable(base.to_string(), error);
        let client = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .no_proxy()
            .tls_danger_accept_invalid_certs(options.insecure)
            .user_agent(concat!("berth-conformance/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(unreachable)?;
        let hello = base.join("/v2/").map_err(|_| ConnectError::Url(url.to_owned()))?;
        let answer = client.get(hello).send().await.map_err(unreachable)?;
        let auth = match answer.status().as_u16() {
            200 => Auth::None,
            401 => {
                let challenge = Challenge::from_headers(answer.headers());
                Auth::choose(challenge, options.credentials.clone())
                    .map_err(|why| ConnectError::Unauthorized(base.to_string(), why))?
            }
            other => return Err(ConnectError::NotARegistry(base.to_string(), other)),
        };
        Ok(Self { inner: Arc::new(Inner { base, client, auth }) })
    }

    /// Where the registry is; ends in `/`.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.inner.base
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.inner.client
    }

    pub(super) fn auth(&self) -> &Auth {
        &self.inner.auth
    }
}

fn parse_base(url: &str) -> Option<Url> {
    let text = if url.contains("://") {
        url.to_owned()
    } else if url.starts_with("localhost") || url.starts_with("127.") || url.starts_with("[::1]") {
        format!("http://{url}")
    } else {
        format!("https://{url}")
    };
    let mut parsed = Url::parse(&text).ok()?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return None;
    }
    parsed.set_path("/");
    parsed.set_query(None);
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_made_of_what_people_type() {
        for (typed, base) in [
            ("127.0.0.1:5000", Some("http://127.0.0.1:5000/")),
            ("localhost:5000/v2/", Some("http://localhost:5000/")),
            ("registry.example", Some("https://registry.example/")),
            ("https://registry.example/v2/?a=b", Some("https://registry.example/")),
            ("ftp://registry.example", None),
            ("http://", None),
        ] {
            assert_eq!(parse_base(typed).map(String::from).as_deref(), base, "{typed}");
        }
    }
}
