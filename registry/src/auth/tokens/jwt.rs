//! A JSON web token, looked at with nothing but what was configured: the header chooses among known keys by
//! name, and whatever else it brings (keys, certificates, addresses) is not read.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// Tokens are this many bytes at most.
pub(super) const MAX_TOKEN: usize = 32 << 10;

/// Why a token is not taken. The sentence is for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadToken(pub(super) String);

pub(super) fn bad(why: impl Into<String>) -> BadToken {
    BadToken(why.into())
}

/// What is read before the signature is looked at. Nothing of it is believed.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) issuer: String,
}

#[derive(Deserialize)]
struct Head {
    alg: Algorithm,
    kid: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Body {
    iss: String,
}

/// Three parts in URL-safe base64 with a JSON object in the first: what no password looks like.
pub(super) fn looks_like_one(text: &str) -> bool {
    text.starts_with("ey") && text.len() <= MAX_TOKEN && text.split('.').count() == 3
}

/// Reads what chooses the key.
pub(super) fn outline(token: &str) -> Result<Outline, BadToken> {
    let malformed = || bad("the token is no signed JSON web token");
    if token.len() > MAX_TOKEN {
        return Err(bad(format!("the token has more than {MAX_TOKEN} bytes")));
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed());
    };
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| malformed())?;
    let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| malformed())?;
    // An algorithm that is not known, `none` among them, ends here.
    let head: Head = serde_json::from_slice(&head)
        .map_err(|_| bad("the token's header names no algorithm that is taken"))?;
    let body: Body =
        serde_json::from_slice(&body).map_err(|_| bad("the token does not say who issued it"))?;
    if head.crit.is_some() {
        return Err(bad("the token has critical header fields, and none are known"));
    }
    Ok(Outline { algorithm: head.alg, kid: head.kid, issuer: body.iss })
}

/// Checks the signature with one key and one algorithm, and gives the claims.
pub(super) fn verify(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Result<Map<String, Value>, BadToken> {
    let mut validation = Validation::new(algorithm);
    // Times and audiences are looked at by `Claims`, with our clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    match jsonwebtoken::decode(token, key, &validation) {
        Ok(data) => Ok(data.claims),
        Err(error) => Err(bad(match error.kind() {
            ErrorKind::Json(_) | ErrorKind::Utf8(_) => "the token's claims cannot be read",
            _ => "the token's signature does not fit",
        })),
    }
}

/// Claims whose signature was good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claims<'a>(pub(super) &'a Map<String, Value>);

impl Claims<'_> {
    /// A text; `None` where it is missing or something else.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Seconds since 1970, as a JSON number and nothing else.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, BadToken> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_i64().or_else(|| whole(value.as_f64()?));
        let seconds = seconds.ok_or_else(|| bad(format!("the token's {name} is not a number of seconds")))?;
        Ok(Some(Timestamp(seconds.saturating_mul(1_000_000))))
    }

    /// Checks that now is between the token's beginning and end, give or take `leeway`. Its end and, where
    /// no `otherwise` stands for it, its beginning have to be there.
    pub(super) fn check_times(
        &self,
        now: Timestamp,
        leeway: std::time::Duration,
        otherwise: Option<&str>,
    ) -> Result<Timestamp, BadToken> {
        let end = self.time("exp")?.ok_or_else(|| bad("the token has no end (exp)"))?;
        let begin = match (self.time("nbf")?, otherwise) {
            (Some(begin), _) => Some(begin),
            (None, Some(name)) => self.time(name)?,
            (None, None) => None,
        };
        let begin = begin.ok_or_else(|| bad("the token has no beginning (nbf)"))?;
        if now >= end + leeway {
            return Err(bad("the token has expired"));
        }
        if now + leeway < begin {
            return Err(bad("the token is not valid yet; compare the clocks"));
        }
        Ok(end)
    }

    /// Checks that the token is for one of these.
    pub(super) fn check_audience(&self, ours: &[String]) -> Result<(), BadToken> {
        let is_ours = |value: &Value| value.as_str().is_some_and(|text| ours.iter().any(|our| our == text));
        let fits = match self.0.get("aud") {
            Some(Value::Array(list)) => list.iter().any(is_ours),
            Some(value) => is_ours(value),
            None => false,
        };
        if fits { Ok(()) } else { Err(bad("the token is for another audience (aud)")) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
fn whole(seconds: f64) -> Option<i64> {
    (seconds.is_finite() && seconds.abs() < 1e15).then_some(seconds as i64)
}
