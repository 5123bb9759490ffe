//! Request bodies: what breaks while one is read.

use std::error::Error;

use super::error::ApiError;

/// What an error in the middle of a body means for the answer, if there is still somebody to
/// answer. The reasons that the connection itself gives lie somewhere in the chain of sources.
pub(super) fn body_error(error: axum::Error) -> ApiError {
    let mut source: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(reason) = source {
        if reason.is::<super::serve::BodyTooSlow>() {
            return ApiError::BodyTooSlow;
        }
        if reason.is::<super::serve::Draining>() {
            return ApiError::Draining;
        }
        source = reason.source();
    }
    ApiError::BodyBroken(error.to_string())
}
