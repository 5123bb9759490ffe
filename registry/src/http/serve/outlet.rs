//! Files to sockets by sendfile(2), under hyper.
//!
//! hyper queues a body's buffers untouched when the connection says that it writes vectored, and
//! shows them to [`tokio::io::AsyncWrite::poll_write_vectored`] by address. So a body can hand out
//! a buffer that merely *stands for* bytes of a file: a slice of a region that holds nothing
//! (never touched, so it costs address space alone). With each such slice a file range is queued
//! on the connection; the connection knows the slice by its address and sends the range instead.
//!
//! What makes it safe is one invariant, checked at every write: **the slices of the region that
//! hyper shows are, in order, exactly the ranges not yet sent.** Were a layer to copy a body,
//! drop a frame or cut it short, the sums would differ, and the connection is closed before a
//! byte of the region, or a byte out of order, goes out.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    num::NonZeroU64,
    ops::Range,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use rustix::{
    fs::Advice,
    io::{Errno, ReadWriteFlags},
    net::SendFlags,
};
use tokio::{io::Interest, net::TcpStream};

/// Bytes of the region, hence the most that one frame stands for and one sendfile call is asked for.
/// Beside nginx, calls of 4 MiB took about a quarter less processor time than calls of 1 MiB.
/// The socket's buffer ends most of them before one connection keeps a worker from others for long.
pub(super) const FRAME: usize = 4 << 20;
/// After so many bytes without a pause the task goes to the back of the queue.
const TURN: usize = 4 << 20;
/// How far ahead of the socket cold pages are asked for.
const READ_AHEAD: u64 = 8 << 20;

/// The region. Zeroed memory of this size comes from the kernel unmapped and is never read.
static REGION: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; FRAME]));

fn stands_for_file(slice: &[u8]) -> bool {
    let base = REGION.as_ptr().addr();
    !slice.is_empty() && (base..base + FRAME).contains(&slice.as_ptr().addr())
}

/// The way from a response body to its connection's file queue. In a request's extensions only
/// where the connection can use it: HTTP/1 without TLS.
#[derive(Clone, Debug, Default)]
pub struct Outlet(Arc<Mutex<VecDeque<Pending>>>);

#[derive(Debug)]
struct Pending {
    file: Arc<File>,
    left: Range<u64>,
    /// Whether its pages were looked for.
    looked: bool,
}

impl Pending {
    fn len(&self) -> u64 {
        self.left.end - self.left.start
    }
}

impl Outlet {
    /// Queues a range and returns the frame that stands for it. The frame must go to the very
    /// connection that the outlet came from, at once.
    pub(super) fn frame(&self, file: &Arc<File>, range: Range<u64>) -> Bytes {
        let len = usize::try_from(range.end - range.start).unwrap_or(FRAME).min(FRAME);
        let left = range.start..range.start + len as u64;
        let pending = Pending { file: file.clone(), looked: false, left };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(pending);
        REGION.slice(..len)
    }
}

/// The connection's end of its [`Outlet`].
#[derive(Debug, Default)]
pub(super) struct FileWriter {
    outlet: Outlet,
    /// Bytes sent since the task last paused.
    turn: usize,
}

impl FileWriter {
    pub(super) fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }

    /// Writes what comes first in `slices`, ordinary bytes or a file range. Returns the bytes sent.
    pub(super) fn poll_write(
        &mut self,
        stream: &TcpStream,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut queue = self.outlet.0.lock().unwrap_or_else(PoisonError::into_inner);
        check(&queue, slices)?;
        let plain = slices.iter().position(|slice| stands_for_file(slice)).unwrap_or(slices.len());
        if slices[..plain].iter().any(|slice| !slice.is_empty()) {
            // A head is kept back by the kernel until the first bytes of its file come after it.
            let more = if plain < slices.len() { SendFlags::MORE } else { SendFlags::empty() };
            let sent = ready!(poll_io(stream, cx, || send(stream, &slices[..plain], more)))?;
            return Poll::Ready(Ok(sent));
        }
        let Some(front) = queue.front_mut() else { return Poll::Ready(Ok(0)) };
        if self.turn >= TURN {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        front.read_ahead();
        let count = usize::try_from(front.len()).unwrap_or(FRAME);
        let mut offset = front.left.start;
        let sent = match poll_io(stream, cx, || {
            rustix::fs::sendfile(stream, &*front.file, Some(&mut offset), count)
        }) {
            Poll::Pending => {
                self.turn = 0;
                return Poll::Pending;
            }
            Poll::Ready(sent) => sent?,
        };
        if sent == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("a file ends at {offset}, before its range does at {}", front.left.end),
            )));
        }
        self.turn += sent;
        front.left.start += sent as u64;
        if front.left.is_empty() {
            queue.pop_front();
        }
        Poll::Ready(Ok(sent))
    }
}

/// The invariant of the module.
fn check(queue: &VecDeque<Pending>, slices: &[IoSlice<'_>]) -> io::Result<()> {
    let mut ranges = queue.iter().map(Pending::len);
    let mut shown = slices.iter().filter(|slice| stands_for_file(slice)).map(|slice| slice.len() as u64);
    loop {
        match (ranges.next(), shown.next()) {
            (None, None) => return Ok(()),
            (range, slice) if range == slice => {}
            (range, slice) => {
                let error = format!(
                    "the file ranges of a response are not what is written (range {range:?}, slice {slice:?})"
                );
                tracing::error!("A connection is closed: {error}");
                return Err(io::Error::other(error));
            }
        }
    }
}

impl Pending {
    /// Asks the kernel to read ahead where pages are cold, so that sendfile seldom waits for the
    /// disk inside a worker. Where they are in memory this costs one short call for each frame;
    /// asking without looking would cost a walk over every page.
    fn read_ahead(&mut self) {
        if std::mem::replace(&mut self.looked, true) {
            return;
        }
        for at in [self.left.start, self.left.start + READ_AHEAD / 2] {
            let mut byte = [0];
            let bytes = &mut [IoSliceMut::new(&mut byte)];
            if rustix::io::preadv2(&*self.file, bytes, at, ReadWriteFlags::NOWAIT) == Err(Errno::AGAIN) {
                // Advice: that it could not be taken changes nothing.
                let length = NonZeroU64::new(READ_AHEAD);
                let _advice = rustix::fs::fadvise(&*self.file, at, length, Advice::WillNeed);
                return;
            }
        }
    }
}

fn send(stream: &TcpStream, slices: &[IoSlice<'_>], flags: SendFlags) -> rustix::io::Result<usize> {
    let flags = flags | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(stream, slices, &mut rustix::net::SendAncillaryBuffer::default(), flags)
}

fn poll_io(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    mut attempt: impl FnMut() -> rustix::io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match stream.try_io(Interest::WRITABLE, || attempt().map_err(io::Error::from)) {
            Ok(sent) => return Poll::Ready(Ok(sent)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                _ => return Poll::Ready(Err(error)),
            },
        }
    }
}
