//! An answer, and the questions a case asks of it.

use berth_oci::{ErrorBody, ErrorCode};
use bytes::Bytes;
use reqwest::{
    Url,
    header::{HeaderMap, LOCATION},
};
use serde_json::Value;

use crate::case::{Stop, Verdict, ensure, fail};

/// A registry's answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    pub(super) url: Url,
}

impl Answer {
    /// Fails unless the status is one of `allowed`.
    pub fn expect(&self, allowed: &[u16]) -> Result<&Self, Stop> {
        if allowed.contains(&self.status) {
            return Ok(self);
        }
        let wanted: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        fail(format!("status {} where {} is due", self.status, wanted.join(" or ")))
    }

    /// Fails unless the status is `status` and the body's first error is `code`.
    pub fn error(&self, status: u16, code: ErrorCode) -> Verdict {
        self.expect(&[status])?.code(code)
    }

    /// Fails unless one of the body's errors is `code`.
    pub fn code(&self, code: ErrorCode) -> Verdict {
        let body = self.errors()?;
        ensure(body.errors.iter().any(|entry| entry.code == code.as_str()), || {
            let codes: Vec<&str> = body.errors.iter().map(|entry| entry.code.as_str()).collect();
            format!("error code {} where {code} is due", codes.join(", "))
        })
    }

    /// The body as the specification's error envelope.
    pub fn errors(&self) -> Result<ErrorBody, Stop> {
        let parsed: ErrorBody = serde_json::from_slice(&self.body)
            .map_err(|error| Stop::Fail(format!("the body is no error envelope: {error}")))?;
        if parsed.errors.is_empty() { fail("the error envelope is empty") } else { Ok(parsed) }
    }

    /// A header's text, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header's text; fails if it is not there.
    pub fn require(&self, name: &str) -> Result<&str, Stop> {
        self.header(name).ok_or_else(|| Stop::Fail(format!("there is no {name} header")))
    }

    /// Fails unless the header has exactly this text.
    pub fn header_is(&self, name: &str, text: &str) -> Verdict {
        let is = self.require(name)?;
        ensure(is == text, || format!("{name} is {is:?} where {text:?} is due"))
    }

    /// Fails if the header is there with another text.
    pub fn header_is_or_absent(&self, name: &str, text: &str) -> Verdict {
        if self.header(name).is_some() { self.header_is(name, text) } else { Ok(()) }
    }

    /// Fails unless the body is exactly these bytes.
    pub fn body_is(&self, bytes: &[u8]) -> Verdict {
        ensure(self.body == bytes, || {
            let at = self.body.iter().zip(bytes).position(|(a, b)| a != b);
            let at = at.unwrap_or(self.body.len().min(bytes.len()));
            format!(
                "body of {} bytes differs from the {} bytes due, first at {at}",
                self.body.len(),
                bytes.len()
            )
        })
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Stop> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Stop::Fail(format!("the body is no JSON: {error}")))
    }

    /// The `Location`, made absolute with the URL that was asked.
    pub fn location(&self) -> Result<Url, Stop> {
        self.resolve(self.require(LOCATION.as_str())?)
    }

    /// A reference in the answer, made absolute with the URL that was asked.
    pub fn resolve(&self, text: &str) -> Result<Url, Stop> {
        self.url.join(text).map_err(|error| Stop::Fail(format!("{text:?} is no URL: {error}")))
    }
}
