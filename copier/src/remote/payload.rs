//! What a request carries.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use berth_oci::{Algorithm, Digest, Hasher};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::Body;

use crate::{ByteStream, Content, Error, Result};

/// A request's body, which can be made again when the request is made again.
pub(super) enum Payload<'a> {
    /// None.
    Empty,
    /// A few bytes.
    Bytes(Bytes),
    /// A blob, or the rest of one.
    Content {
        /// Where the bytes come from.
        content: &'a dyn Content,
        /// The first byte to send.
        from: u64,
        /// How many bytes there must be from there on; `None` if nobody knows.
        len: Option<u64>,
        /// Sees them go by.
        meter: &'a Arc<Meter>,
    },
}

impl Payload<'_> {
    /// Whether the body is a stream, of which the server may have taken a part.
    pub(super) const fn is_stream(&self) -> bool {
        matches!(self, Self::Content { .. })
    }

    pub(super) const fn meter(&self) -> Option<&Arc<Meter>> {
        match self {
            Self::Content { meter, .. } => Some(meter),
            Self::Empty | Self::Bytes(_) => None,
        }
    }

    /// Makes the body, and says its length where it must be told.
    pub(super) async fn open(&self) -> Result<Option<(Body, Option<u64>)>> {
        Ok(match self {
            Self::Empty => None,
            Self::Bytes(bytes) => Some((Body::from(bytes.clone()), None)),
            Self::Content { content, from, len, meter } => {
                meter.begin();
                let pieces = content.open(*from).await.inspect_err(|_| meter.fail())?;
                Some((Body::wrap_stream(measured(pieces, *from, *len, Arc::clone(meter))), *len))
            }
        })
    }
}

/// Sees a blob's bytes on their way out: how many, their hash where nobody knows it, and why they stopped.
#[derive(Debug, Default)]
pub(super) struct Meter {
    moved: AtomicU64,
    ended: AtomicBool,
    failed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Error>,
    hasher: Option<Hasher>,
}

impl Meter {
    /// One that hashes, for content whose digest nobody knows.
    pub(super) fn hashing() -> Self {
        let state = State { fault: None, hasher: Some(Hasher::new(Algorithm::Sha256.into())) };
        Self { state: Mutex::new(state), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        self.ended.store(false, Ordering::Release);
        self.failed.store(false, Ordering::Release);
        self.state().fault = None;
    }

    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether the content itself stopped with an error in the last attempt.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Bytes that went by in all attempts: it grows while the connection takes any.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Acquire)
    }

    /// Whether the last byte went by.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Why the content stopped, if it was the content that did.
    pub(super) fn take_fault(&self) -> Option<Error> {
        self.state().fault.take()
    }

    /// Forgets what was hashed: the content may be made anew, and differ.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        if state.hasher.is_some() {
            state.hasher = Some(Hasher::new(Algorithm::Sha256.into()));
        }
    }

    /// Digest and length of all that was hashed.
    pub(super) fn hashed(&self) -> Option<(Digest, u64)> {
        let hasher = self.state().hasher.clone()?;
        let len = hasher.len();
        Some((Digest::from_hasher(hasher), len))
    }

    /// Takes the bytes from `at` on. Those that were hashed in an attempt before are not hashed again.
    fn piece(&self, at: u64, piece: &Bytes) {
        self.moved.fetch_add(piece.len() as u64, Ordering::AcqRel);
        if let Some(hasher) = &mut self.state().hasher {
            let known = usize::try_from(hasher.len().saturating_sub(at)).unwrap_or(usize::MAX);
            if let Some(new) = piece.get(known..) {
                hasher.update(new);
            }
        }
    }
}

/// The pieces, as long as they keep to the length. Whatever goes wrong is kept in the meter, since the HTTP library
/// would wrap it.
fn measured(
    pieces: ByteStream,
    from: u64,
    len: Option<u64>,
    meter: Arc<Meter>,
) -> impl futures_util::Stream<Item = std::result::Result<Bytes, std::io::Error>> + Send + 'static {
    let end = len.map(|len| from.saturating_add(len));
    stream::try_unfold((pieces, from, meter), move |(mut pieces, at, meter)| async move {
        let fault = |error: Error| {
            meter.fail();
            meter.state().fault = Some(error);
            std::io::Error::other("the content stopped")
        };
        match pieces.next().await {
            None if end.is_some_and(|end| at != end) => Err(fault(Error::Integrity(format!(
                "the content ended at byte {at} of {}",
                end.unwrap_or_default()
            )))),
            None => {
                meter.ended.store(true, Ordering::Release);
                Ok(None)
            }
            Some(Err(error)) => Err(fault(error)),
            Some(Ok(piece)) => {
                let next = at + piece.len() as u64;
                if let Some(end) = end {
                    if next > end {
                        let text = format!("the content has more than the {end} bytes that it should have");
                        return Err(fault(Error::Integrity(text)));
                    }
                    // The HTTP library asks no more once it has all bytes that were announced.
                    if next == end {
                        meter.ended.store(true, Ordering::Release);
                    }
                }
                meter.piece(at, &piece);
                Ok(Some((piece, (pieces, next, meter))))
            }
        }
    })
}
