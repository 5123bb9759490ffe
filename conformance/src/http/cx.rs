//! What a case has at hand: the registry, a repository of its own, and the record of what was said.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{Method, Url};

use super::{answer::Answer, call::Call, target::Target};
use crate::case::{Options, Stop};

/// Exchanges that are kept; a failure shows them.
const KEPT: usize = 3;
/// Bytes of a body that are shown.
const SHOWN_BODY: usize = 400;

/// A case's surroundings.
#[derive(Debug)]
pub struct Cx {
    target: Target,
    repo: String,
    authorization: Option<String>,
    options: Arc<Options>,
    exchanges: Mutex<VecDeque<String>>,
}

impl Cx {
    pub(crate) async fn new(target: Target, repo: String, options: Arc<Options>) -> Result<Self, Stop> {
        let other = format!("{repo}-other");
        let authorization = target
            .auth()
            .authorization(target.client(), &[&repo, &other])
            .await
            .map_err(|why| Stop::Fail(format!("no authorization for {repo}: {why}")))?;
        Ok(Self { target, repo, authorization, options, exchanges: Mutex::default() })
    }

    /// The case's own repository.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// A second repository that is the case's own.
    #[must_use]
    pub fn other_repo(&self) -> String {
        format!("{}-other", self.repo)
    }

    /// What the run was told.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// The Authorization header of every request, if one is needed.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The registry's URL.
    #[must_use]
    pub fn base(&self) -> &Url {
        self.target.base()
    }

    /// A request to an absolute URL, or to a path that begins with `/`.
    pub fn call(&self, method: Method, at: impl AsRef<str>) -> Result<Call<'_>, Stop> {
        let at = at.as_ref();
        let url = self.base().join(at).map_err(|error| Stop::Fail(format!("{at:?} is no URL: {error}")))?;
        Ok(Call::new(self, method, url))
    }

    /// `GET`.
    pub fn get(&self, at: impl AsRef<str>) -> Result<Call<'_>, Stop> {
        self.call(Method::GET, at)
    }

    /// `HEAD`.
    pub fn head(&self, at: impl AsRef<str>) -> Result<Call<'_>, Stop> {
        self.call(Method::HEAD, at)
    }

    /// `POST`.
    pub fn post(&self, at: impl AsRef<str>) -> Result<Call<'_>, Stop> {
        self.call(Method::POST, at)
    }

    /// `PUT`.
    pub fn put(&self, at: impl AsRef<str>) -> Result<Call<'_>, Stop> {
        self.call(Method::PUT, at)
    }

    /// `PATCH`.
    pub fn patch(&self, at: impl AsRef<str>) -> Result<Call<'_>, Stop> {
        self.call(Method::PATCH, at)
    }

    /// `DELETE`.
    pub fn delete(&self, at: impl AsRef<str>) -> Result<Call<'_>, Stop> {
        self.call(Method::DELETE, at)
    }

    pub(super) fn saw(&self, request: String, answer: &Answer) {
        let mut shown = format!("> {}\n< {}", request.replace('\n', "\n> "), answer.status);
        for (name, value) in &answer.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            // Writing to a String does not fail.
            let _ = write!(shown, "\n< {name}: {value}");
        }
        if !answer.body.is_empty() {
            let _ = write!(shown, "\n< {}", shown_body(&answer.body));
        }
        self.keep(shown);
    }

    pub(super) fn saw_nothing(&self, request: String, why: &str) {
        self.keep(format!("> {}\n< (nothing: {why})", request.replace('\n', "\n> ")));
    }

    pub(super) fn saw_text(&self, request: String, answer: String) {
        self.keep(format!("> {request}\n< {answer}"));
    }

    fn keep(&self, exchange: String) {
        let mut kept = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(exchange);
    }

    /// The last exchanges, oldest first.
    #[must_use]
    pub fn trace(&self) -> String {
        let kept = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        Vec::from_iter(kept.iter().map(String::as_str)).join("\n\n")
    }
}

/// The beginning of a body, control characters escaped; or its length where it is no text.
pub(super) fn shown_body(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        return format!("({} bytes)", body.len());
    };
    let cut: String = text.chars().take(SHOWN_BODY).flat_map(char::escape_debug).collect();
    let more = if text.chars().count() > SHOWN_BODY { "…" } else { "" };
    format!("{}{more}", cut.replace("\\\"", "\""))
}
