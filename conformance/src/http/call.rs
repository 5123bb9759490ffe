//! A request in the making.

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Method, Url, header::AUTHORIZATION};

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
    body: Body,
}

impl<'a> Call<'a> {
    pub(super) fn new(cx: &'a Cx, method: Method, url: Url) -> Self {
        Self { cx, method, url, headers: Vec::new(), body: Body::None }
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
        let sent = request.send().await;
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
