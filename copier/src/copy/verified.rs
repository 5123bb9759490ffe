//! Content that is checked against its descriptor on its way, however often it is opened again.

use std::sync::Arc;

use async_trait::async_trait;
use berth_oci::{Descriptor, Verifier};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::UnboundedSender;

use super::lock::Lock;
use crate::{ByteStream, Content, Error, Result};

/// Distance in bytes between two states of the hash that are kept: what is read again at most when an upload goes on
/// before the place where the reading stood.
const STRIDE: u64 = 8 * 1024 * 1024;

/// A source's content, verified: its stream fails before the last piece is released if size or digest are not those of
/// the descriptor.
///
/// Opened again at an offset it goes on from the nearest state of the hash that it knows, and reads the source from there
/// only. Bytes that go by for the first time are counted.
pub struct Verified {
    source: Box<dyn Content>,
    expected: Descriptor,
    shared: Arc<Shared>,
}

struct Shared {
    known: Lock<Known>,
    tally: Option<UnboundedSender<u64>>,
}

#[derive(Default)]
struct Known {
    /// States of the hash, by offset, rising.
    states: Vec<(u64, Verifier)>,
    /// How far the content went so far.
    furthest: u64,
    /// Why the last stream failed, as the source said it: sinks pass streams through libraries that lose the type.
    fault: Option<Error>,
}

impl Verified {
    /// Verifies `source` as `expected`. Bytes are told to `tally` as they go by, each once.
    #[must_use]
    pub fn new(source: Box<dyn Content>, expected: Descriptor, tally: Option<UnboundedSender<u64>>) -> Self {
        let known = Lock::new(Known::default());
        Self { source, expected, shared: Arc::new(Shared { known, tally }) }
    }

    /// Why the stream that was opened last failed, if it did: the root cause of a sink's failure. Taken once.
    #[must_use]
    pub fn fault(&self) -> Option<Error> {
        self.shared.known.lock().fault.take()
    }

    /// Opens the source at the best place that is not behind `from`.
    async fn start(&self, from: u64) -> Result<(u64, Verifier, ByteStream)> {
        let nearest = {
            let mut known = self.shared.known.lock();
            known.fault = None;
            known.states.iter().rev().find(|(at, _)| *at <= from).cloned()
        };
        if let Some((at, verifier)) = nearest {
            match self.source.open(at).await {
                Ok(stream) => return Ok((at, verifier, stream)),
                Err(Error::NotSeekable) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((0, Verifier::of(&self.expected), self.source.open(0).await?))
    }
}

#[async_trait]
impl Content for Verified {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let (at, verifier, source) = self.start(from).await?;
        let reading = Reading {
            source,
            verifier,
            at,
            from,
            size: self.expected.size,
            held: None,
            ended: false,
            shared: Arc::clone(&self.shared),
        };
        Ok(stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|piece| (piece, reading)))
        })
        .boxed())
    }
}

struct Reading {
    source: ByteStream,
    verifier: Verifier,
    /// Bytes of the content that went into the verifier.
    at: u64,
    /// Bytes before this are verified and not given out.
    from: u64,
    size: u64,
    /// The piece that completes the content waits until the source ends there.
    held: Option<Bytes>,
    ended: bool,
    shared: Arc<Shared>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.ended {
            let piece = match self.source.next().await {
                Some(Ok(piece)) => piece,
                // The whole was there and matched: what breaks behind it takes nothing away.
                Some(Err(_)) if self.held.is_some() => break,
                Some(Err(error)) => return Err(self.fail(error)),
                None => {
                    let verifier = self.verifier.clone();
                    verifier.finish().map_err(|fault| self.fail(fault.into()))?;
                    break;
                }
            };
            if let Some(piece) = self.take(piece)? {
                return Ok(Some(piece));
            }
        }
        self.ended = true;
        Ok(self.held.take())
    }

    fn take(&mut self, piece: Bytes) -> Result<Option<Bytes>> {
        let began = self.at;
        self.verifier.update(&piece).map_err(|fault| self.fail(fault.into()))?;
        self.at += piece.len() as u64;
        self.remember(began);
        let known = usize::try_from(self.from.saturating_sub(began)).unwrap_or(usize::MAX);
        if known >= piece.len() {
            return Ok(None);
        }
        let piece = piece.slice(known..);
        if self.at == self.size {
            self.held = Some(piece);
            return Ok(None);
        }
        Ok(Some(piece))
    }

    fn remember(&self, began: u64) {
        let mut known = self.shared.known.lock();
        let last = known.states.last().map_or(0, |(at, _)| *at);
        if began / STRIDE != self.at / STRIDE && self.at > last {
            known.states.push((self.at, self.verifier.clone()));
        }
        let fresh = self.at.saturating_sub(known.furthest);
        known.furthest = known.furthest.max(self.at);
        drop(known);
        if fresh > 0
            && let Some(tally) = &self.shared.tally
        {
            // Nobody counts any more where the receiver is gone.
            let _counted = tally.send(fresh);
        }
    }

    /// Keeps the fault for [`Verified::fault`] and gives one that says the same.
    fn fail(&self, error: Error) -> Error {
        let twin = match error.root() {
            Error::Verify(fault) => Error::Verify(fault.clone()),
            Error::Network { what, source } => {
                Error::Network { what: what.clone(), source: source.to_string().into() }
            }
            Error::TooSlow { what, host, came, window, least } => Error::TooSlow {
                what: what.clone(),
                host: host.clone(),
                came: *came,
                window: *window,
                least: *least,
            },
            other => Error::Other { what: "reading the source".to_owned(), source: other.to_string().into() },
        };
        self.shared.known.lock().fault = Some(error);
        twin
    }
}

#[cfg(test)]
mod tests;
