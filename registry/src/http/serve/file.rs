//! A response body that is a range of a file.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::outlet::{FRAME, Outlet};

/// Bytes read at a time where sendfile cannot serve.
const READ: u64 = 256 << 10;
/// Reads under way while a block is being written to the client.
const AHEAD: usize = 2;

/// The bytes of `range` of `file`, which must not change while they are sent.
///
/// With the request's [`Outlet`] they go to the socket by sendfile(2); without (TLS, HTTP/2,
/// tests that call a router) they are read in blocking threads, two blocks ahead. A file that
/// turns out to be shorter than the range ends the connection: bytes are never made up.
pub fn file_body(outlet: Option<&Outlet>, file: Arc<File>, range: Range<u64>) -> axum::body::Body {
    match outlet {
        Some(outlet) => axum::body::Body::new(SentFile { outlet: outlet.clone(), file, left: range }),
        None => axum::body::Body::new(ReadFile {
            file,
            unread: range.clone(),
            left: range,
            reads: VecDeque::new(),
        }),
    }
}

struct SentFile {
    outlet: Outlet,
    file: Arc<File>,
    left: Range<u64>,
}

impl Body for SentFile {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let end = self.left.end.min(self.left.start + FRAME as u64);
        let frame = self.outlet.frame(&self.file, self.left.start..end);
        self.left.start = end;
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}

struct ReadFile {
    file: Arc<File>,
    /// Not yet asked for.
    unread: Range<u64>,
    /// Not yet handed out.
    left: Range<u64>,
    reads: VecDeque<JoinHandle<io::Result<Bytes>>>,
}

impl Body for ReadFile {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        while this.reads.len() < AHEAD && !this.unread.is_empty() {
            let block = this.unread.start..this.unread.end.min(this.unread.start + READ);
            this.unread.start = block.end;
            let file = this.file.clone();
            this.reads.push_back(tokio::task::spawn_blocking(move || read(&file, block)));
        }
        let Some(first) = this.reads.front_mut() else { return Poll::Ready(None) };
        let block = ready!(Pin::new(first).poll(cx)).map_err(io::Error::other).flatten();
        this.reads.pop_front();
        match block {
            Ok(block) => {
                this.left.start += block.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(block))))
            }
            Err(error) => {
                this.left.start = this.left.end;
                this.unread.start = this.unread.end;
                this.reads.clear();
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}

fn read(file: &File, block: Range<u64>) -> io::Result<Bytes> {
    let len = usize::try_from(block.end - block.start).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let offset = block.start + bytes.len() as u64;
        // The allocator may have given more room than was asked for: nothing past the block is kept.
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), offset) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("a file ends at {offset}, before its range does"),
                ));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(len);
    Ok(bytes.into())
}
