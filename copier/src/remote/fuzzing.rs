//! For the fuzz targets in `copier/fuzz`.

use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;

use super::{
    answer::{self, Doing},
    download, limit, pages, token, upload_session, wait,
};

/// Reads one text as every header field of an answer that has a syntax, at a fixed time.
///
/// # Panics
/// If a reader answers what its field cannot mean.
pub fn header_field(text: &str) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let _any = (wait::retry_after(text, now), limit::remaining(text));
    if let Some(target) = pages::next_link(text) {
        assert!(text.contains(&target));
    }
    if let Some((first, last, _)) = download::content_range(text) {
        assert!(first <= last && last < u64::MAX);
    }
    assert_ne!(upload_session::taken(text), Some(0));
}

/// Reads a token service's answer, and an error of a registry.
///
/// # Panics
/// If an error's words could steer a terminal.
pub fn token_answer(body: &[u8]) {
    if let Ok(token) = token::read(body, Instant::now()) {
        let _header = (token.authorization(), token.is_fresh(Instant::now()));
    }
    let doing = Doing { what: "reading", place: "a/b", absent: "nothing" };
    for status in [StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED, StatusCode::CONFLICT] {
        let error = answer::fault(status, "a", body, doing).to_string();
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}
