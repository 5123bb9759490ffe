//! Tokens: how they are asked for, and how long they last.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use berth_oci::Scopes;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::{
    answer::{Doing, MAX_SMALL_BODY, words},
    auth::{Authorization, basic, bearer},
    payload::Payload,
    registry::{Ask, Lane, Registry, Target},
    trust,
};
use crate::{Error, Result, config::Credential};

/// What a token lasts where its service does not say, in seconds (the token specification).
const USUAL_LIFE: u64 = 60;
const CLIENT_ID: &str = "berth-copier";

/// A token and the time until which it may be used.
pub(super) struct Token {
    header: HeaderValue,
    number: u64,
    until: Option<Instant>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ***)", self.number)
    }
}

impl Token {
    fn new(text: &str, life: Duration, obtained: Instant) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let header = bearer(text)?;
        // A request takes time on its way: a token is renewed a little before its end.
        let margin = (life / 10).min(Duration::from_secs(10));
        let until = obtained.checked_add(life.saturating_sub(margin));
        Ok(Self { header, number: NUMBER.fetch_add(1, Ordering::Relaxed), until })
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    pub(super) fn authorization(&self) -> Authorization {
        Authorization::of_token(self.header.clone(), self.number)
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }
}

/// What a token is asked for.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) realm: &'a Url,
    pub(super) service: Option<&'a str>,
    pub(super) scopes: &'a Scopes,
}

#[derive(Deserialize)]
struct Body {
    token: Option<String>,
    access_token: Option<String>,
    // Some services send a float, or a text.
    expires_in: Option<serde_json::Value>,
}

impl Body {
    fn life(&self) -> Duration {
        let seconds = match &self.expires_in {
            Some(serde_json::Value::Number(n)) => n.as_u64().or_else(|| n.as_f64().map(whole)),
            Some(serde_json::Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        Duration::from_secs(seconds.filter(|&seconds| seconds > 0).unwrap_or(USUAL_LIFE))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` ends at the type's bounds")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

/// Asks the token service. Whether it may see the credential was decided when its challenge came, and is decided again
/// here, where it is sent.
///
/// # Errors
/// `Error::Authentication` if it refuses, and as every request.
pub(super) async fn fetch(
    registry: &Registry,
    credential: Option<&Credential>,
    request: Request<'_>,
) -> Result<Token> {
    let base = registry.base().await;
    if credential.is_some() {
        trust::credentials_to(request.realm, &base, registry.trusted_token_hosts())?;
    }
    let obtained = registry.now();
    let answer = registry.deliver(&ask(credential, request)?, None).await?;
    let what = "unable to retrieve auth token";
    match answer.status() {
        status if status.is_success() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
            if credential.is_some() =>
        {
            // A body that breaks or has no end says as much as none.
            let said = words(&answer.bytes(MAX_SMALL_BODY, what).await.unwrap_or_default());
            let said =
                if said.is_empty() { "the token service refuses the credentials".to_owned() } else { said };
            return Err(Error::Authentication {
                registry: registry.host().to_owned(),
                reason: format!("{what}: invalid username/password: {said}"),
            });
        }
        _ => {
            let place = trust::host(request.realm);
            return Err(answer.fault(Doing { what, place: &place, absent: "no such service" }).await);
        }
    }
    let raw = answer.bytes(MAX_SMALL_BODY, what).await?;
    read(&raw, obtained).map_err(|error| error.context(format!("{what} from {}", trust::host(request.realm))))
}

pub(super) fn read(raw: &[u8], obtained: Instant) -> Result<Token> {
    // The parser's own message could hold a piece of the token.
    let none = || Error::Integrity("the answer of the token service holds no token".to_owned());
    let body: Body = serde_json::from_slice(raw).map_err(|_| none())?;
    let life = body.life();
    let text = body.token.filter(|token| !token.is_empty()).or(body.access_token);
    Token::new(text.filter(|token| !token.is_empty()).ok_or_else(none)?.as_str(), life, obtained)
}

fn ask<'a>(credential: Option<&Credential>, request: Request<'_>) -> Result<Ask<'a>> {
    let mut url = request.realm.clone();
    let scopes: Vec<String> = request
        .scopes
        .iter()
        .map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(berth_oci::auth::Action::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
        .collect();
    let mut headers = HeaderMap::new();
    if let Some(Credential::IdentityToken { token, .. }) = credential {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", CLIENT_ID);
        form.append_pair("refresh_token", token.expose()).append_pair("scope", &scopes.join(" "));
        form.append_pair("service", request.service.unwrap_or_default());
        let body = Bytes::from(form.finish());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        return Ok(Ask {
            method: Method::POST,
            target: Target::Url(url),
            headers,
            payload: Payload::Bytes(body),
            repeat: true,
            lane: Lane::Token,
            what: "asking for a token",
        });
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = request.service {
            query.append_pair("service", service);
        }
        for scope in &scopes {
            query.append_pair("scope", scope);
        }
        if let Some(Credential::Basic { user, .. }) = credential {
            query.append_pair("account", user);
        }
    }
    if let Some(Credential::Basic { user, password }) = credential {
        headers.insert(header::AUTHORIZATION, basic(user, password)?);
    }
    Ok(Ask {
        method: Method::GET,
        target: Target::Url(url),
        headers,
        payload: Payload::Empty,
        repeat: true,
        lane: Lane::Token,
        what: "asking for a token",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(body: &str) -> Duration {
        serde_json::from_str::<Body>(body).unwrap().life()
    }

    #[test]
    fn a_token_lasts_as_long_as_its_service_says() {
        assert_eq!(life(r#"{"token":"t","expires_in":300}"#), Duration::from_secs(300));
        assert_eq!(life(r#"{"token":"t","expires_in":300.7}"#), Duration::from_secs(300));
        assert_eq!(life(r#"{"token":"t","expires_in":"300"}"#), Duration::from_secs(300));
        for silent in
            [r#"{"token":"t"}"#, r#"{"expires_in":0}"#, r#"{"expires_in":-5}"#, r#"{"expires_in":[]}"#]
        {
            assert_eq!(life(silent), Duration::from_secs(60), "{silent}");
        }
        let begun = Instant::now();
        let token = read(br#"{"access_token":"t","expires_in":300}"#, begun).unwrap();
        assert!(token.is_fresh(begun + Duration::from_secs(289)));
        assert!(!token.is_fresh(begun + Duration::from_secs(290)));
    }

    #[test]
    fn an_answer_without_a_token_says_so_and_shows_nothing_of_it() {
        for body in
            ["", "[]", "{}", r#"{"token":""}"#, r#"{"token":"s3cret"#, "{\"token\":\"s3cret\\u0007\"}"]
        {
            let error = read(body.as_bytes(), Instant::now()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
        assert!(!format!("{:?}", read(br#"{"token":"s3cret"}"#, Instant::now()).unwrap()).contains("s3cret"));
    }
}
