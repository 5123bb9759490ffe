//! `/token`: Docker's token protocol (GET, with Basic or without credentials) and OAuth2's (POST: password, refresh
//! token, and token exchange by RFC 8693), and the public keys of the tokens.

mod error;
mod parameters;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use berth_oci::auth::Scopes;
use http::{HeaderValue, Method, header, request::Parts};
use serde_json::{Value, json};

use self::{error::Refusal, parameters::Parameters};
use crate::{
    auth::{
        Authenticate, Principal,
        tokens::{Answer, Grant, Tokens, asked},
    },
    http::serve::Peer,
};

/// A form is this many bytes at most.
const MAX_FORM: usize = 128 << 10;
/// What the type of a token that is exchanged may be called: all are JSON web tokens here.
const SUBJECT_TYPES: [&str; 3] = [
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:access_token",
];
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What the endpoint uses.
#[derive(Clone, Debug)]
pub struct TokenServer {
    /// The rules.
    pub tokens: Arc<Tokens>,
    /// Whoever finds out who asks.
    pub authenticate: Arc<dyn Authenticate>,
}

/// The routes of the token server.
pub fn router(server: TokenServer) -> Router {
    Router::new()
        .route("/token", any(token))
        .route("/token/jwks", get(keys))
        .route("/.well-known/jwks.json", get(keys))
        .with_state(server)
}

async fn keys(State(server): State<TokenServer>) -> Response {
    let mut response = Json(server.tokens.published()).into_response();
    // Short enough for a new key to be known before it signs.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    response
}

async fn token(State(server): State<TokenServer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match answer(&server, parts, body).await {
        Ok(value) => Json(value).into_response(),
        Err(refusal) => refusal.respond(server.tokens.service()),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

async fn answer(server: &TokenServer, parts: Parts, body: Body) -> Result<Value, Refusal> {
    match parts.method {
        Method::GET | Method::HEAD => docker(server, &parts).await,
        Method::POST => oauth(server, parts, body).await,
        _ => Err(Refusal::Method),
    }
}

/// Docker's way.
async fn docker(server: &TokenServer, parts: &Parts) -> Result<Value, Refusal> {
    let parameters = Parameters::read(parts.uri.query().unwrap_or_default().as_bytes())?;
    let scopes = common(server, &parameters)?;
    let who = server.authenticate.identify(parts).await?;
    let password = basic(parts).map(|(_, password)| password);
    let offline = parameters.one("offline_token")?.is_some_and(|value| value == "true");
    let client = parameters.one("client_id")?.unwrap_or_default();
    let grant =
        Grant { who, scopes: &scopes, offline: offline.then_some(client), shown: password.as_deref() };
    Ok(success(server.tokens.issue(grant).await?, None))
}

/// OAuth2's way.
async fn oauth(server: &TokenServer, parts: Parts, body: Body) -> Result<Value, Refusal> {
    let form = to_bytes(body, MAX_FORM).await;
    let form =
        form.map_err(|_| Refusal::Request(format!("the form has more than {MAX_FORM} bytes, or broke off")))?;
    let parameters = Parameters::read(&form)?;
    let scopes = common(server, &parameters)?;
    let (who, shown, kind) = match parameters.required("grant_type")? {
        "password" => {
            let (name, password) = (parameters.required("username")?, parameters.required("password")?);
            (login(server, &parts, name, password).await?, Some(password), None)
        }
        "refresh_token" => {
            let secret = parameters.required("refresh_token")?;
            let look = Box::pin(server.tokens.refreshed(secret));
            let who = server.authenticate.attempt(&parts, secret, look).await;
            (who.map_err(Refusal::grant)?, Some(secret), None)
        }
        "urn:ietf:params:oauth:grant-type:token-exchange" => {
            let kind = parameters.required("subject_token_type")?;
            if !SUBJECT_TYPES.contains(&kind) {
                return Err(Refusal::Request(format!(
                    "subject_token_type is none of {}",
                    SUBJECT_TYPES.join(", ")
                )));
            }
            if parameters.one("requested_token_type")?.is_some_and(|kind| kind != ACCESS_TOKEN) {
                return Err(Refusal::Request(format!("requested_token_type can only be {ACCESS_TOKEN}")));
            }
            let subject = parameters.required("subject_token")?;
            let look = Box::pin(server.tokens.exchanged(subject));
            let who = server.authenticate.attempt(&parts, subject, look).await;
            (who.map_err(Refusal::grant)?, None, Some(ACCESS_TOKEN))
        }
        _ => return Err(Refusal::GrantType),
    };
    let offline = parameters.one("access_type")?.is_some_and(|value| value == "offline")
        || parameters.one("offline_token")?.is_some_and(|value| value == "true");
    // A refresh token that was shown stays the client's, asked for or not.
    let refreshing = parameters.one("grant_type")?.is_some_and(|kind| kind == "refresh_token");
    let client = parameters.one("client_id")?.unwrap_or_default();
    let grant = Grant { who, scopes: &scopes, offline: (offline || refreshing).then_some(client), shown };
    Ok(success(server.tokens.issue(grant).await?, kind))
}

/// What both ways have in common: the service has to be this one, and the scopes not too many.
fn common(server: &TokenServer, parameters: &Parameters) -> Result<Scopes, Refusal> {
    let ours = server.tokens.service();
    if let Some(service) = parameters.one("service")?
        && !service.is_empty()
        && service != ours
    {
        return Err(Refusal::Request(format!(
            "this is the token server of {ours:?}, not of the service asked for"
        )));
    }
    asked(parameters.all("scope")).map_err(|too_much| Refusal::Scope(too_much.to_string()))
}

/// Finds out who has this name and password, the same way as for any request.
async fn login(
    server: &TokenServer,
    parts: &Parts,
    name: &str,
    password: &str,
) -> Result<Principal, Refusal> {
    if name.contains(':') {
        return Err(Refusal::Request("a username has no colon".to_owned()));
    }
    let basic = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
    let basic = HeaderValue::from_str(&basic).map_err(|_| Refusal::Request("no such username".to_owned()))?;
    let mut request = http::Request::new(()).into_parts().0;
    request.uri = parts.uri.clone();
    request.headers = parts.headers.clone();
    request.headers.insert(header::AUTHORIZATION, basic);
    // Where it comes from, for whoever counts attempts; not whom the connection vouches for.
    if let Some(peer) = parts.extensions.get::<Peer>() {
        request.extensions.insert(*peer);
    }
    server.authenticate.identify(&request).await.map_err(Refusal::grant)
}

/// Name and password of a request that `Authenticate` has found good.
fn basic(parts: &Parts) -> Option<(String, String)> {
    let text = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.trim().split_once(' ')?;
    let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (name, password) = pair.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| (name.to_owned(), password.to_owned()))
}

/// Docker reads `token`, OAuth2 `access_token`; many read either.
fn success(answer: Answer, kind: Option<&str>) -> Value {
    let issued_at = jiff::Timestamp::from_microsecond(answer.issued_at.0).unwrap_or_default();
    // Whole seconds: some clients read no others.
    let issued_at = jiff::Timestamp::from_second(issued_at.as_second()).unwrap_or_default();
    let scope: Scopes = answer.granted.into_iter().collect();
    let mut value = json!({
        "token": answer.token,
        "access_token": answer.token,
        "token_type": "Bearer",
        "expires_in": answer.life.as_secs(),
        "issued_at": issued_at.to_string(),
        "scope": scope.to_string(),
    });
    if let Some(refresh) = answer.refresh {
        value["refresh_token"] = refresh.reveal().into();
    }
    if let Some(kind) = kind {
        value["issued_token_type"] = kind.into();
    }
    value
}
