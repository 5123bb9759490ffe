//! A connection's socket: plain or TLS, observed, with the file writer on plain ones.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

use super::{
    outlet::{FileWriter, Outlet},
    state::State,
};

/// For so long, and so many bytes, a client that still sends is heard out after our last word:
/// closing at once would reset the connection, and the client might never read the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

pub(super) enum Transport {
    Plain(TcpStream, FileWriter),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(super) struct Socket {
    transport: Transport,
    state: Arc<State>,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Socket {
    pub(super) fn plain(stream: TcpStream, state: Arc<State>) -> Self {
        Self { transport: Transport::Plain(stream, FileWriter::default()), state, linger: None }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, state: Arc<State>) -> Self {
        Self { transport: Transport::Tls(Box::new(stream)), state, linger: None }
    }

    /// Where response bodies can put file ranges.
    pub(super) fn outlet(&self) -> Option<Outlet> {
        match &self.transport {
            Transport::Plain(_, writer) => Some(writer.outlet()),
            Transport::Tls(_) => None,
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream, _) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.read(cx, buf))?;
        self.state.read(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let sent = match &mut this.transport {
            Transport::Plain(stream, writer) => writer.poll_write(stream, cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        };
        this.state.wrote(match &sent {
            Poll::Pending => None,
            Poll::Ready(sent) => Some(sent.as_ref().map_or(0, |sent| *sent)),
        });
        sent
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(..) => true,
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let flushed = match &mut this.transport {
            Transport::Plain(stream, _) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.state.wrote(flushed.is_ready().then_some(0));
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            let shut = match &mut this.transport {
                Transport::Plain(stream, _) => Pin::new(stream).poll_shutdown(cx),
                Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            };
            this.state.wrote(shut.is_ready().then_some(0));
            ready!(shut)?;
            if this.state.request_is_whole() {
                return Poll::Ready(Ok(()));
            }
            this.linger = Some((Box::pin(sleep(LINGER)), LINGER_BYTES));
        }
        let mut scratch = [MaybeUninit::uninit(); 8 << 10];
        loop {
            let Some((over, left)) = &mut this.linger else { return Poll::Ready(Ok(())) };
            if over.as_mut().poll(cx).is_ready() || *left == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::uninit(&mut scratch);
            // A reset now is the client's end of it: our answer is sent.
            if ready!(this.read(cx, &mut buf)).is_err() || buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let read = buf.filled().len();
            if let Some((_, left)) = &mut this.linger {
                *left = left.saturating_sub(read);
            }
        }
    }
}
