//! Zstandard in one frame.

use std::io::{self, Read, Write};

use zstd::stream::{raw::CParameter, write::Encoder};

use super::Level;

/// Decoders need not take windows over 8 MiB (RFC 8878, 3.1.1.1.2): no level goes beyond.
pub(super) const WINDOW_LOG_MAX: u32 = 23;
/// From here on zstd's own tables have larger windows.
pub(super) const FIRST_LARGE_LEVEL: i32 = 20;
/// Plain bytes of one thread's job. The bytes that come out depend on it, and not on the number of threads.
const JOB_BYTES: u32 = 2 << 20;
const THREADS_MAX: usize = 4;
/// From here on each thread takes about 100 MiB, and two are allowed.
const FIRST_SLOW_LEVEL: i32 = 16;

/// Packs all of `plain` into one frame with a checksum.
pub(super) fn write(plain: &mut dyn Read, out: &mut dyn Write, level: Level) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let threads = if level.get() >= FIRST_SLOW_LEVEL { threads.min(2) } else { threads };
    let mut encoder = Encoder::new(out, level.get())?;
    encoder.include_checksum(true)?;
    if level.get() >= FIRST_LARGE_LEVEL {
        encoder.window_log(WINDOW_LOG_MAX)?;
    }
    encoder.multithread(u32::try_from(threads).unwrap_or(1))?;
    encoder.set_parameter(CParameter::JobSize(JOB_BYTES))?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let bytes = plain.read(&mut buffer)?;
        if bytes == 0 {
            break;
        }
        encoder.write_all(&buffer[..bytes])?;
    }
    encoder.finish()?.flush()
}
