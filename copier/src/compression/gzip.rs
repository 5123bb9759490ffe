//! gzip in blocks that are packed beside each other.
//!
//! Each block of 256 KiB begins with the 32 KiB before it as a dictionary and ends on a byte, so the blocks one behind the
//! other are one deflate stream. The bytes depend on the content and the level alone: not on the number of threads, nor
//! on the sizes of the pieces that came.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::Level;

const BLOCK_BYTES: usize = 256 << 10;
const DICTIONARY_BYTES: usize = 32 << 10;
/// Threads that one stream takes at most.
const STREAM_THREADS: usize = 4;

/// Packs all of `plain`. No name and no time are in the header.
pub(super) fn write(plain: &mut dyn Read, out: &mut dyn Write, level: Level) -> io::Result<()> {
    write_beside(plain, out, level, Lease::take)
}

fn write_beside(
    plain: &mut dyn Read,
    out: &mut dyn Write,
    level: Level,
    lease: impl FnOnce() -> Lease,
) -> io::Result<()> {
    let level = u32::try_from(level.get()).map_or_else(|_| Compression::default(), Compression::new);
    let hint = match level.level() {
        0 | 1 => 4,
        9 => 2,
        _ => 0,
    };
    out.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, hint, 255])?;
    let mut blocks = Blocks { plain, crc: Crc::new(), previous: Arc::default(), next: None };
    let first = blocks.next()?;
    let lease = if first.last { Lease(0) } else { lease() };
    if lease.0 < 2 {
        alone(first, &mut blocks, out, level)?;
    } else {
        beside(first, &mut blocks, out, level, lease.0)?;
    }
    out.write_all(&blocks.crc.sum().to_le_bytes())?;
    out.write_all(&blocks.crc.amount().to_le_bytes())
}

fn alone(first: Block, blocks: &mut Blocks<'_>, out: &mut dyn Write, level: Compression) -> io::Result<()> {
    let mut block = first;
    loop {
        out.write_all(&pack(level, &block)?)?;
        if block.last {
            return Ok(());
        }
        block = blocks.next()?;
    }
}

type Packed = io::Result<Vec<u8>>;

fn beside(
    first: Block,
    blocks: &mut Blocks<'_>,
    out: &mut dyn Write,
    level: Compression,
    threads: usize,
) -> io::Result<()> {
    let (jobs, queue) = sync_channel::<(Block, Sender<Packed>)>(threads);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&queue, level));
        }
        // The sender goes with this call, on errors too: the threads end when it does.
        dispatch(first, blocks, out, jobs, threads)
    })
}

fn dispatch(
    first: Block,
    blocks: &mut Blocks<'_>,
    out: &mut dyn Write,
    jobs: SyncSender<(Block, Sender<Packed>)>,
    threads: usize,
) -> io::Result<()> {
    let gone = || io::Error::other("a thread that packs has ended");
    let mut pending: VecDeque<Receiver<Packed>> = VecDeque::new();
    let mut block = first;
    loop {
        let last = block.last;
        let (reply, packed) = channel();
        jobs.send((block, reply)).map_err(|_| gone())?;
        pending.push_back(packed);
        while pending.len() > threads || (last && !pending.is_empty()) {
            if let Some(packed) = pending.pop_front() {
                out.write_all(&packed.recv().map_err(|_| gone())??)?;
            }
        }
        if last {
            return Ok(());
        }
        block = blocks.next()?;
    }
}

fn work(queue: &Mutex<Receiver<(Block, Sender<Packed>)>>, level: Compression) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((block, reply)) = job else { return };
        if reply.send(pack(level, &block)).is_err() {
            return;
        }
    }
}

struct Block {
    previous: Arc<Vec<u8>>,
    bytes: Arc<Vec<u8>>,
    last: bool,
}

/// Cuts the plain bytes into blocks; one is read ahead, since the last must be known as such.
struct Blocks<'a> {
    plain: &'a mut dyn Read,
    crc: Crc,
    previous: Arc<Vec<u8>>,
    next: Option<Arc<Vec<u8>>>,
}

impl Blocks<'_> {
    fn next(&mut self) -> io::Result<Block> {
        let bytes = match self.next.take() {
            Some(bytes) => bytes,
            None => self.read()?,
        };
        // A block that is not full is the end; behind a full one there may be nothing.
        let ahead = if bytes.len() == BLOCK_BYTES { Some(self.read()?) } else { None };
        self.next = ahead.filter(|ahead| !ahead.is_empty());
        self.crc.update(&bytes);
        let previous = std::mem::replace(&mut self.previous, Arc::clone(&bytes));
        Ok(Block { previous, bytes, last: self.next.is_none() })
    }

    fn read(&mut self) -> io::Result<Arc<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        self.plain.take(BLOCK_BYTES as u64).read_to_end(&mut bytes)?;
        Ok(Arc::new(bytes))
    }
}

fn pack(level: Compression, block: &Block) -> Packed {
    // A new one for each block: one that was reset may find other matches than a fresh one, and the bytes would depend on
    // which thread packed what.
    let mut deflate = Compress::new(level, false);
    let previous = &block.previous[block.previous.len().saturating_sub(DICTIONARY_BYTES)..];
    if !previous.is_empty() {
        deflate.set_dictionary(previous)?;
    }
    let flush = if block.last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::with_capacity(block.bytes.len() / 2 + 64);
    loop {
        let used = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let status = deflate.compress_vec(&block.bytes[used.min(block.bytes.len())..], &mut out, flush)?;
        let done = match status {
            Status::StreamEnd => true,
            // A flush is complete only if it left room.
            Status::Ok | Status::BufError => {
                !block.last && deflate.total_in() == block.bytes.len() as u64 && out.len() < out.capacity()
            }
        };
        if done {
            return Ok(out);
        }
        out.reserve(32 << 10);
    }
}

/// Threads for packing, of which the process has as many as there are processors: layers that are packed at the same
/// time share them.
struct Lease(usize);

static LEASED: AtomicUsize = AtomicUsize::new(0);

impl Lease {
    fn take() -> Self {
        let all = thread::available_parallelism().map_or(1, usize::from);
        let mut got = 0;
        // The closure always answers, so neither outcome carries more than `got` does.
        let _before = LEASED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |leased| {
            got = all.saturating_sub(leased).min(STREAM_THREADS);
            Some(leased + got)
        });
        Self(got)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        LEASED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Packs with that many threads, whatever the processor has.
#[cfg(test)]
pub(super) fn with_threads(mut plain: &[u8], level: Level, threads: usize) -> Vec<u8> {
    let mut out = Vec::new();
    LEASED.fetch_add(threads, Ordering::Relaxed);
    write_beside(&mut plain, &mut out, level, || Lease(threads)).unwrap();
    out
}
