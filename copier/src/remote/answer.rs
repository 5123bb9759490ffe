//! One answer of a server: its head, its body within bounds, and the error that it means.

use std::time::{Duration, Instant};

use berth_oci::ErrorBody;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use reqwest::{Response, StatusCode};
use url::Url;

use super::{
    escape::{MAX_TEXT, escaped},
    limit::Permit,
    network::network,
};
use crate::{ByteStream, Error, Result};

/// Most bytes of an error's or token's body that are read (C8).
pub(super) const MAX_SMALL_BODY: usize = 1024 * 1024;

/// An answer whose head came. The request counts as running until it is dropped or its body was read.
pub(super) struct Answer {
    response: Response,
    permit: Option<Permit>,
    pace: Pace,
    host: String,
}

/// The least that a body has to bring: so many bytes a second, over so long a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) window: Duration,
    pub(super) least: u64,
}

/// How fast a body comes, by the time that was spent waiting for it: whoever reads it may be slow.
struct Flow {
    pace: Pace,
    waited: Duration,
    came: u64,
}

impl Flow {
    /// How long the next bytes may take before it is counted.
    fn left(&self) -> Duration {
        self.pace.window.saturating_sub(self.waited)
    }

    /// Counts bytes; how few came, where those were too few.
    fn count(&mut self, waited: Duration, bytes: usize) -> Option<u64> {
        self.waited += waited;
        self.came += bytes as u64;
        if self.waited < self.pace.window {
            return None;
        }
        let came = std::mem::take(&mut self.came);
        let least = self.waited.as_secs_f64() * self.pace.least as f64;
        self.waited = Duration::ZERO;
        ((came as f64) < least).then_some(came)
    }
}

/// What an error's sentence says besides the server's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing<'a> {
    /// "reading manifest latest".
    pub(super) what: &'a str,
    /// `host/repository`, or the host.
    pub(super) place: &'a str,
    /// What 404 means where the server does not say: "manifest unknown".
    pub(super) absent: &'a str,
}

impl Answer {
    pub(super) fn new(response: Response, permit: Option<Permit>, pace: Pace, host: &str) -> Self {
        Self { response, permit, pace, host: host.to_owned() }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The URL that answered, behind all redirects.
    pub(super) fn url(&self) -> &Url {
        self.response.url()
    }

    /// A header's text; `None` where it is absent or not text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Every header of this name that is text.
    pub(super) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// A header's number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    /// The body as it comes. Ends with an error if the connection breaks, or brings less than it has to.
    pub(super) fn into_stream(self, what: &str) -> ByteStream {
        let Self { response, permit, pace, host } = self;
        // The request is over for the host's limit: whoever reads the body may wait for other requests meanwhile.
        drop(permit);
        let what = what.to_owned();
        let flow = Flow { pace, waited: Duration::ZERO, came: 0 };
        let state = (response, flow, host, what);
        stream::try_unfold(state, move |(mut response, mut flow, host, what)| async move {
            loop {
                let begun = Instant::now();
                let (piece, slow) = match tokio::time::timeout(flow.left(), response.chunk()).await {
                    Ok(piece) => {
                        let piece = piece.map_err(|error| network(&error, &host, &what))?;
                        let Some(piece) = piece else { return Ok(None) };
                        let slow = flow.count(begun.elapsed(), piece.len());
                        (Some(piece), slow)
                    }
                    // At least so long it was.
                    Err(_) => (None, flow.count(begun.elapsed().max(flow.left()), 0)),
                };
                if let Some(came) = slow {
                    return Err(Error::TooSlow { what, host, came, window: pace.window, least: pace.least });
                }
                if let Some(piece) = piece {
                    return Ok(Some((piece, (response, flow, host, what))));
                }
            }
        })
        .boxed()
    }

    /// The whole body, if it has at most `limit` bytes (C8).
    pub(super) async fn bytes(mut self, limit: usize, what: &str) -> Result<Bytes> {
        let host = self.host.clone();
        let too_large = || {
            Error::Integrity(format!(
                "{what}: {host} answers with more than {limit} bytes, which is no such body"
            ))
        };
        if self.number("content-length").is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let permit = self.permit.take();
        let mut pieces = self.into_stream(what);
        let mut whole = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            whole.extend_from_slice(&piece?);
            if whole.len() > limit {
                return Err(too_large());
            }
        }
        drop(permit);
        Ok(whole.freeze())
    }

    /// Reads what little there may be, so that the connection can be used again.
    pub(super) async fn finish(self) {
        // Whether it worked does not matter: at worst the connection is closed.
        let _read = self.bytes(64 * 1024, "").await;
    }

    /// The error that this answer means.
    pub(super) async fn fault(self, doing: Doing<'_>) -> Error {
        let (status, host) = (self.status(), self.host.clone());
        // A body that breaks or has no end says as much as none.
        let body = self.bytes(MAX_SMALL_BODY, doing.what).await.unwrap_or_default();
        fault(status, &host, &body, doing)
    }

    /// The answer, if it says that all went well.
    pub(super) async fn accept(self, doing: Doing<'_>) -> Result<Self> {
        if self.status().is_success() { Ok(self) } else { Err(self.fault(doing).await) }
    }
}

pub(super) fn fault(status: StatusCode, host: &str, body: &[u8], doing: Doing<'_>) -> Error {
    let detail = words(body);
    let Doing { what, place, absent } = doing;
    let in_place = || format!("{what} in {place}");
    let or = |text: &str| if detail.is_empty() { text.to_owned() } else { detail.clone() };
    match status {
        StatusCode::NOT_FOUND => {
            Error::NotFound { what: what.to_owned(), place: place.to_owned(), reason: or(absent) }
        }
        StatusCode::UNAUTHORIZED => {
            let said = or("unauthorized: authentication required");
            let said = if said.starts_with("unauthorized") { said } else { format!("unauthorized: {said}") };
            let reason = format!("{said} (`berth-copier login {host}` keeps credentials for it)");
            Error::Authentication { registry: host.to_owned(), reason }.context(in_place())
        }
        StatusCode::FORBIDDEN => {
            let reason = or("denied: requested access to the resource is denied");
            Error::Authentication { registry: host.to_owned(), reason }.context(in_place())
        }
        _ => Error::Registry { what: in_place(), status: status.as_u16(), detail },
    }
}

/// A server's own words, from the specification's error body or from plain text; escaped and cut (C12).
pub(super) fn words(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(found) => match found.errors.first() {
            Some(first) => entry(&first.code, &first.message),
            None => String::new(),
        },
        Err(_) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(MAX_TEXT)]);
            // Web pages say nothing to people at a terminal.
            if text.trim_start().starts_with('<') { String::new() } else { text.trim().to_owned() }
        }
    };
    escaped(&text, MAX_TEXT)
}

/// "manifest unknown", or "name invalid: the name is too long": the message alone where it says what the code says.
fn entry(code: &str, message: &str) -> String {
    let kind = code.to_ascii_lowercase().replace('_', " ");
    let kind = if kind == "toomanyrequests" || !kind.is_empty() { kind } else { "unknown".to_owned() };
    let usual = match code {
        "BLOB_UNKNOWN" => "blob unknown to registry",
        "NAME_UNKNOWN" => "repository name not known to registry",
        "DENIED" => "requested access to the resource is denied",
        _ => kind.as_str(),
    };
    if message.is_empty() {
        kind
    } else if message.eq_ignore_ascii_case(usual) && code != "DENIED" {
        message.to_owned()
    } else {
        format!("{kind}: {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOING: Doing<'_> =
        Doing { what: "reading manifest latest", place: "r.example.org/app", absent: "manifest unknown" };

    fn said(status: u16, body: &str) -> Error {
        fault(StatusCode::from_u16(status).unwrap(), "r.example.org", body.as_bytes(), DOING)
    }

    #[test]
    fn errors_have_the_wording_that_scripts_match() {
        let body = |code: &str, message: &str| {
            format!(r#"{{"errors":[{{"code":"{code}","message":"{message}","detail":null}}]}}"#)
        };
        for (status, body, text, exit) in [
            (404, String::new(), "reading manifest latest in r.example.org/app: manifest unknown", 2),
            (
                404,
                body("MANIFEST_UNKNOWN", "manifest unknown"),
                "reading manifest latest in r.example.org/app: manifest unknown",
                2,
            ),
            (
                404,
                body("NAME_UNKNOWN", "no such thing"),
                "reading manifest latest in r.example.org/app: name unknown: no such thing",
                2,
            ),
            (
                401,
                body("UNAUTHORIZED", "authentication required"),
                "unauthorized: authentication required",
                3,
            ),
            (401, String::new(), "unauthorized: authentication required", 3),
            (
                403,
                body("DENIED", "requested access to the resource is denied"),
                "denied: requested access to the resource is denied",
                3,
            ),
            (500, String::new(), "received unexpected HTTP status: 500 Internal Server Error", 1),
            (
                500,
                "<html>no</html>".to_owned(),
                "received unexpected HTTP status: 500 Internal Server Error",
                1,
            ),
        ] {
            let error = said(status, &body);
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(error.exit_code(), exit, "{error}");
        }
    }

    #[test]
    fn c12_a_servers_text_is_escaped_and_cut() {
        for body in [
            "\u{1b}[31mred\u{7}".repeat(10_000),
            format!(r#"{{"errors":[{{"code":"DENIED","message":"\u001b[2J{}"}}]}}"#, "x".repeat(100_000)),
        ] {
            for status in [400, 401, 403, 404, 500] {
                let text = said(status, &body).to_string();
                assert!(text.chars().all(|c| !c.is_control()), "{text}");
                assert!(text.len() < MAX_TEXT + 300, "{}", text.len());
            }
        }
    }
}
