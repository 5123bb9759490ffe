//! Who somebody says they are, true or not.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{header, request::Parts};

use super::tokens::may_be_password;

/// The name in a request's Basic credentials, whether or not the password is right.
#[must_use]
pub fn claimed_name(request: &Parts) -> Option<String> {
    basic(request).map(|(name, _)| name)
}

/// Whether what a request shows as its password is a token. Tokens end and can be revoked, so they must not be good
/// for what lasts longer than they do.
#[must_use]
pub fn shows_token(request: &Parts) -> bool {
    basic(request).is_some_and(|(_, secret)| may_be_password(&secret))
}

fn basic(request: &Parts) -> Option<(String, String)> {
    let text = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim_start()).ok()?).ok()?;
    pair.split_once(':').map(|(name, secret)| (name.to_owned(), secret.to_owned()))
}
