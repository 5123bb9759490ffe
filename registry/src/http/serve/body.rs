//! Bodies on their way through the server: requests that must come at some speed, answers whose
//! end is noted.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::state::State;

/// The client sends a request's body more slowly than [`super::Limits`] allows: 408.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body came too slowly")]
pub struct BodyTooSlow;

/// The server stops, and waited for the rest of a body long enough: save what came, answer 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server stops")]
pub struct Draining;

/// The body ended before its announced end, or its framing is broken; there is nobody to answer
/// but often enough something to save.
#[derive(Debug, thiserror::Error)]
#[error("the body was cut short: {0}")]
pub struct BodyCut(#[source] hyper::Error);

/// Why reading a request's body failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// [`BodyTooSlow`].
    TooSlow,
    /// [`Draining`].
    Draining,
    /// [`BodyCut`], or anything else.
    Cut,
}

impl BodyFault {
    /// Looks through an error of an [`axum::body::Body`] for the cause.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<BodyTooSlow>() {
                return Self::TooSlow;
            }
            if error.is::<Draining>() {
                return Self::Draining;
            }
            cause = error.source();
        }
        Self::Cut
    }
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// A request's body. Only time spent waiting for the client counts: a handler may be as slow as it likes.
pub(super) struct RequestBody {
    inner: Incoming,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    window: Duration,
    least: u64,
    /// Bytes that came in this window.
    came: u64,
    /// Time waited in this window before the wait under way.
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    failed: bool,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, cut: CancellationToken, window: Duration, rate: u64) -> Self {
        Self {
            inner,
            cut: Box::pin(cut.cancelled_owned()),
            window,
            least: rate.saturating_mul(window.as_secs().max(1)),
            came: 0,
            waited: Duration::ZERO,
            waiting: None,
            failed: false,
        }
    }

    fn new_window(&mut self) {
        self.came = 0;
        self.waited = Duration::ZERO;
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        if this.cut.as_mut().poll(cx).is_ready() {
            this.failed = true;
            return Poll::Ready(Some(Err(Draining.into())));
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some((since, _)) = this.waiting.take() {
                    this.waited += since.elapsed();
                }
                if let Some(Ok(frame)) = &frame {
                    this.came += frame.data_ref().map_or(0, Bytes::len) as u64;
                }
                if this.came >= this.least {
                    this.new_window();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|error| BodyCut(error).into())))
            }
            Poll::Pending => {
                let left = this.window.saturating_sub(this.waited);
                let (_, over) = this.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
                ready!(over.as_mut().poll(cx));
                this.failed = true;
                Poll::Ready(Some(Err(BodyTooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A request under way; when it is dropped the answer is over.
pub(super) struct Active {
    state: Arc<State>,
    request: u64,
    answered: bool,
}

impl Active {
    pub(super) fn new(state: Arc<State>, request: u64) -> Self {
        Self { state, request, answered: false }
    }

    pub(super) fn answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.state.end(self.request, self.answered);
    }
}

/// An answer's body.
pub(super) struct ResponseBody {
    inner: axum::body::Body,
    active: Active,
    /// HTTP/2 asks for a frame when the client's window has room: one not asked for is a client that does not read.
    windowed: bool,
}

impl ResponseBody {
    pub(super) fn new(inner: axum::body::Body, active: Active, windowed: bool) -> Self {
        Self { inner, active, windowed }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.windowed {
            return Pin::new(&mut self.inner).poll_frame(cx);
        }
        self.active.state.frame(self.active.request, false);
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.active.state.frame(self.active.request, true);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
