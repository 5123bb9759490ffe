//! A blocking transformation between two streams.
//!
//! The source's pieces go through a bounded channel to a blocking thread, and its pieces through another to whoever
//! polls. Both ends are explicit: a channel that closes without its end mark is a fault and never a short stream.

use std::io::{self, BufRead, Read, Write};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinHandle,
};

use crate::{ByteStream, Error, Result};

/// Pieces in each channel. With the sources' pieces of at most 256 KiB and ours of 64 this bounds what is in flight.
const PIECES: usize = 2;
const OUTPUT_BYTES: usize = 64 << 10;

enum Piece {
    Bytes(Bytes),
    End,
    Failed(Error),
}

/// Runs `work` on a blocking thread over the bytes of `from`; what it writes is the stream. The stream ends without an
/// error only if `work` returned without one. Dropping the stream ends both the work and the reading.
pub(crate) fn transform<F>(from: ByteStream, work: F) -> ByteStream
where
    F: FnOnce(Input, &mut Output) -> Result<()> + Send + 'static,
{
    let (feed, pieces) = channel(PIECES);
    let (send, made) = channel(PIECES);
    let feeder = Feeder(tokio::spawn(feed_all(from, feed)));
    tokio::task::spawn_blocking(move || {
        let mut output = Output { send, buffer: BytesMut::new() };
        let worked = work(Input::new(pieces), &mut output);
        let last = match worked.and_then(|()| output.flush().map_err(|error| fault("writing", error))) {
            Ok(()) => Piece::End,
            Err(error) => Piece::Failed(error),
        };
        // Nobody listens any more: then nobody misses it.
        let _gone = output.send.blocking_send(last);
    });
    stream::unfold(Some((made, feeder)), |state| async {
        let (mut made, feeder) = state?;
        match made.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some((made, feeder)))),
            Some(Piece::End) => None,
            Some(Piece::Failed(error)) => Some((Err(error), None)),
            None => Some((Err(cut("the work on a layer")), None)),
        }
    })
    .boxed()
}

/// Runs `work` on a blocking thread over the bytes of `from`. Dropping the future ends the reading, and `work` meets an
/// error.
///
/// # Errors
/// Those of `work`.
pub(crate) async fn consume<T, F>(from: ByteStream, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(Input) -> Result<T> + Send + 'static,
{
    let (feed, pieces) = channel(PIECES);
    let _feeder = Feeder(tokio::spawn(feed_all(from, feed)));
    match tokio::task::spawn_blocking(move || work(Input::new(pieces))).await {
        Ok(worked) => worked,
        Err(_) => Err(cut("the work on a layer")),
    }
}

fn cut(what: &str) -> Error {
    Error::Other { what: what.to_owned(), source: "it ended before its end".into() }
}

struct Feeder(JoinHandle<()>);

impl Drop for Feeder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn feed_all(mut from: ByteStream, feed: Sender<Piece>) {
    while let Some(piece) = from.next().await {
        let (piece, last) = match piece {
            Ok(bytes) => (Piece::Bytes(bytes), false),
            Err(error) => (Piece::Failed(error), true),
        };
        if feed.send(piece).await.is_err() || last {
            return;
        }
    }
    let _gone = feed.send(Piece::End).await;
}

/// What a transformation reads. An error of the source comes as an I/O error that holds it.
pub(crate) struct Input {
    pieces: Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl Input {
    fn new(pieces: Receiver<Piece>) -> Self {
        Self { pieces, current: Bytes::new(), ended: false }
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Failed(error)) => return Err(io::Error::other(error)),
                None => return Err(io::Error::other(cut("reading a layer"))),
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, bytes: usize) {
        let _used = self.current.split_to(bytes.min(self.current.len()));
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let bytes = from.len().min(into.len());
        into[..bytes].copy_from_slice(&from[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}

/// What a transformation writes: gathered to pieces of 64 KiB.
pub(crate) struct Output {
    send: Sender<Piece>,
    buffer: BytesMut,
}

impl Output {
    /// Sends a piece as it is.
    pub(crate) fn piece(&mut self, bytes: Bytes) -> io::Result<()> {
        self.flush()?;
        self.send_piece(bytes)
    }

    fn send_piece(&mut self, bytes: Bytes) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.send
            .blocking_send(Piece::Bytes(bytes))
            .map_err(|_| io::Error::other(cut("whoever read a layer")))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(OUTPUT_BYTES);
        }
        let bytes = &bytes[..bytes.len().min(OUTPUT_BYTES - self.buffer.len())];
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() == OUTPUT_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.buffer).freeze();
        self.send_piece(piece)
    }
}

/// The error that an I/O error holds, or what is wrong with the bytes that were being read.
pub(crate) fn fault(what: &str, error: io::Error) -> Error {
    let kind = error.kind();
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(_) if kind == io::ErrorKind::UnexpectedEof => {
            Error::Integrity(format!("{what}: the packed bytes end before their end"))
        }
        Err(error) => Error::Integrity(format!("{what}: {error}")),
    }
}
