//! Who somebody says they are, true or not.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{header, request::Parts};

/// The name in a request's Basic credentials, whether or not the password is right.
#[must_use]
pub fn claimed_name(request: &Parts) -> Option<String> {
    let text = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = text.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(rest.trim_start()).ok()?).ok()?;
    pair.split_once(':').map(|(name, _)| name.to_owned())
}
