//! A request in the making.

use bytes::Bytes;
use futures_util::stream;
use reqwest::{
    Method, Url,
    header::{ACCEPT, AUTHORIZATION},
};

use super::{answer::Answer, cx::Cx};
use crate::case::Stop;

/// What a request carries.
#[derive(Clone, Debug, Default)]
enum Body {
    #[default]
    None,
    /// With a Content-Length.
    Whole(Bytes),
    /// In pieces, with `Transfer-Encoding: chunked` and no Content-Length.
    Streamed(Vec<Bytes>),
}

/// A request in the making.
#[derive(Debug)]
pub struct Call<'a> {
    cx: &'a Cx,
    method: Method,
    url: Url,
    headers: Vec<(String, String)>,
    accept: Option<String>,
    body: Body,
}

/// What a manifest may be. Some registries hide what a client does not say it takes: the cases
/// that are about that say so themselves.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

impl<'a> Call<'a> {
    pub(super) fn new(cx: &'a Cx, method: Method, url: Url) -> Self {
        let reads = matches!(method, Method::GET | Method::HEAD) && url.path().contains("/manifests/");
        let accept = reads.then(|| MANIFEST_TYPES.to_owned());
        Self { cx, method, url, headers: Vec::new(), accept, body: Body::None }
    }

    /// What the client takes: exactly this, or nothing said. Manifests have a default.
    #[must_use]
    pub fn accept(mut self, accept: Option<&str>) -> Self {
        self.accept = accept.map(str::to_owned);
        self
    }

    /// Adds a header; one of the same name stays.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a query parameter behind those of the URL.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// A body of known length.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = Body::Whole(bytes.into());
        self
    }

    /// A body whose length the registry is not told, in pieces of at most `piece` bytes.
    #[must_use]
    pub fn streamed(mut self, bytes: &Bytes, piece: usize) -> Self {
        let mut rest = bytes.clone();
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            pieces.push(rest.split_to(piece.min(rest.len())));
        }
        self.body = Body::Streamed(pieces);
        self
    }

    /// Sends it and reads the answer to its end. Both are kept for the report.
    pub async fn send(self) -> Result<Answer, Stop> {
        let mut request = self.cx.target().client().request(self.method.clone(), self.url.clone());
        let mut shown = format!("{} {}", self.method, shown_url(&self.url));
        for (name, value) in &self.headers {
            shown.push_str(&format!("\n{name}: {value}"));
            request = request.header(name, value);
        }
        if let Some(accept) = &self.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = self.cx.authorization()
            && self.url.origin() == self.cx.target().base().origin()
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        match self.body {
            // A POST, PUT or PATCH without a body says so: some registries want the length.
            Body::None if matches!(self.method, Method::POST | Method::PUT | Method::PATCH) => {
                request = request.header("content-length", "0");
            }
            Body::None => {}
            Body::Whole(bytes) => {
                shown.push_str(&format!("\n({} bytes)", bytes.len()));
                request = request.body(bytes);
            }
            Body::Streamed(pieces) => {
                let length: usize = pieces.iter().map(Bytes::len).sum();
                shown.push_str(&format!("\n({length} bytes, streamed)"));
                let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
                request = request.body(reqwest::Body::wrap_stream(stream::iter(pieces)));
            }
        }
        // A registry may close an idle connection just when it is used again (RFC 9110, 9.2.2):
        // that says nothing about the request, which gets one more chance on a new connection.
        let again = request.try_clone();
        let sent = match (request.send().await, again) {
            (Err(error), Some(again)) if was_closed(&error) => {
                shown.push_str("\n(sent again: the connection was closed under it)");
                again.send().await
            }
            (sent, _) => sent,
        };
        let answer = match sent {
            Ok(response) => {
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let url = response.url().clone();
                response.bytes().await.map(|body| Answer { status, headers, body, url })
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => {
                self.cx.saw(shown, &answer);
                Ok(answer)
            }
            Err(error) => {
                let why = describe(&error);
                self.cx.saw_nothing(shown, &why);
                Err(Stop::Fail(format!("no answer: {why}")))
            }
        }
    }
}

/// Path and query; the host is the same everywhere.
fn shown_url(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

/// Whether the connection ended before any answer.
fn was_closed(error: &reqwest::Error) -> bool {
    let text = describe(error);
    error.is_request() && (text.contains("before message completed") || text.contains("reset by peer"))
}

/// An error with its causes: reqwest's own text stops at the first.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
