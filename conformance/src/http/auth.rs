//! Logging in: Basic, or a bearer token of Docker's token protocol.

use reqwest::{
    Url,
    header::{HeaderMap, WWW_AUTHENTICATE},
};
use serde::Deserialize;

use super::target::Credentials;

/// What a 401 asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
    Unknown,
}

impl Challenge {
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut parsed: Vec<Self> = texts.map(Self::parse).collect();
        // A token is worth more than a password on every request.
        let bearer = parsed.iter().position(|challenge| matches!(challenge, Self::Bearer { .. }));
        let known = parsed.iter().position(|challenge| *challenge != Self::Unknown);
        bearer.or(known).map_or(Self::Unknown, |at| parsed.swap_remove(at))
    }

    fn parse(text: &str) -> Self {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Self::Basic;
        }
        let realm = parameter(rest, "realm");
        match realm {
            Some(realm) if scheme.eq_ignore_ascii_case("bearer") => {
                Self::Bearer { realm, service: parameter(rest, "service") }
            }
            _ => Self::Unknown,
        }
    }
}

/// The value of `name` in `a="b",c="d"`.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, after) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        if key.trim_matches([',', ' ']).eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = after;
    }
    None
}

/// How requests are authorised.
#[derive(Debug)]
pub(super) enum Auth {
    None,
    Basic(Credentials),
    Bearer { realm: Url, service: Option<String>, credentials: Option<Credentials> },
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(alias = "access_token")]
    token: String,
}

impl Auth {
    pub(super) fn choose(challenge: Challenge, credentials: Option<Credentials>) -> Result<Self, String> {
        match challenge {
            Challenge::Basic => credentials.map(Self::Basic).ok_or_else(|| {
                "it wants a user's name and password: give --username and --password".to_owned()
            }),
            Challenge::Bearer { realm, service } => {
                let realm = Url::parse(&realm).map_err(|error| format!("token realm {realm:?}: {error}"))?;
                Ok(Self::Bearer { realm, service, credentials })
            }
            Challenge::Unknown => Err("no Basic or Bearer challenge".to_owned()),
        }
    }

    /// The Authorization header for everything in `repositories`, if one is needed.
    pub(super) async fn authorization(
        &self,
        client: &reqwest::Client,
        repositories: &[&str],
    ) -> Result<Option<String>, String> {
        match self {
            Self::None => Ok(None),
            Self::Basic(who) => {
                let request = client
                    .get("http://localhost/")
                    .basic_auth(&who.username, Some(&who.password))
                    .build()
                    .map_err(|error| error.to_string())?;
                let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
                Ok(header.map(str::to_owned))
            }
            Self::Bearer { realm, service, credentials } => {
                let mut url = realm.clone();
                if let Some(service) = service {
                    url.query_pairs_mut().append_pair("service", service);
                }
                for repository in repositories {
                    let scope = format!("repository:{repository}:pull,push,delete");
                    url.query_pairs_mut().append_pair("scope", &scope);
                }
                let mut request = client.get(url);
                if let Some(who) = credentials {
                    request = request.basic_auth(&who.username, Some(&who.password));
                }
                let answer = request.send().await.map_err(|error| format!("token: {error}"))?;
                if !answer.status().is_success() {
                    return Err(format!("token realm answers {}", answer.status()));
                }
                let body = answer.bytes().await.map_err(|error| format!("token: {error}"))?;
                let parsed: TokenAnswer =
                    serde_json::from_slice(&body).map_err(|error| format!("token: {error}"))?;
                Ok(Some(format!("Bearer {}", parsed.token)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_gives_realm_and_service() {
        let text =
            r#"Bearer realm="https://a.example/token?x=1,2",service="a.example",scope="repository:x:pull""#;
        let realm = "https://a.example/token?x=1,2".to_owned();
        assert_eq!(
            Challenge::parse(text),
            Challenge::Bearer { realm, service: Some("a.example".to_owned()) }
        );
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Challenge::Basic);
        assert_eq!(Challenge::parse("Negotiate"), Challenge::Unknown);
        assert_eq!(parameter("a=b, c=d", "c").as_deref(), Some("d"));
    }
}
