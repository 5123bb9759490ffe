//! What comes out of packed content: no more of it than is allowed.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Cursor, Read},
    rc::Rc,
};

use flate2::bufread::MultiGzDecoder;

use super::{
    Form, Unpack, detect,
    form::MAGIC_BYTES,
    pump::{self, fault},
};
use crate::{ByteStream, Error, Result};

/// zstd frames that want more memory than this (as a power of two) are refused: 128 MiB.
const WINDOW_LOG_MAX: u32 = 27;
const DECODED_BYTES: usize = 128 << 10;

/// How many plain bytes may come out of packed ones (U11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At most this many in all.
    pub bytes: u64,
    /// At most this many for each packed byte, ...
    pub ratio: u64,
    /// ... once there are more than this.
    pub free: u64,
}

impl Default for Limits {
    /// A tebibyte, and past the first gibibyte no more than 1,100 for one: deflate reaches 1,032 at most, so that no
    /// honest gzip layer is refused, and what zstd makes of zeros is stopped.
    fn default() -> Self {
        Self { bytes: 1 << 40, ratio: 1100, free: 1 << 30 }
    }
}

impl Limits {
    fn check(self, plain: u64, packed: u64) -> io::Result<()> {
        if plain > self.bytes {
            return Err(io::Error::other(Error::Integrity(format!(
                "the layer unpacks to more than the {} bytes that are allowed",
                self.bytes
            ))));
        }
        if plain > self.free && plain / self.ratio.max(1) > packed {
            return Err(io::Error::other(Error::Integrity(format!(
                "the layer unpacks to more than {} times its {packed} bytes: refusing a decompression bomb",
                self.ratio
            ))));
        }
        Ok(())
    }
}

/// A reader of plain bytes, whatever packed them. It ends without an error only where the packed bytes end: every
/// member and frame is read, and what stands behind the last one is a fault.
pub struct Unpacked {
    decoder: Box<dyn Read>,
    form: Form,
    packed: Rc<Cell<u64>>,
    plain: u64,
    limits: Limits,
}

impl Unpacked {
    /// Looks at the first bytes and begins.
    ///
    /// # Errors
    /// `Error::Integrity` for content that is not packed as was said, `Error::Unsupported` for bzip2 and xz, and the
    /// reader's own [`Error`], where an I/O error holds one.
    pub fn open(input: impl BufRead + 'static, unpack: Unpack, limits: Limits) -> Result<Self> {
        let packed: Rc<Cell<u64>> = Rc::default();
        let mut input = Counted { from: input, count: Rc::clone(&packed) };
        let mut first = Vec::with_capacity(MAGIC_BYTES);
        let reading = |error| fault("reading the layer", error);
        input.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut first).map_err(reading)?;
        let found = detect(&first);
        let form = match unpack {
            Unpack::Detect => found,
            // Plain bytes may look like anything.
            Unpack::Known(Form::Plain) => Form::Plain,
            Unpack::Known(form) if form == found => form,
            Unpack::Known(form) => {
                return Err(Error::Integrity(format!(
                    "the layer's type says {form}, and its bytes are {found}"
                )));
            }
        };
        let decoder = decoder(form, Cursor::new(first).chain(input)).map_err(reading)?;
        Ok(Self { decoder, form, packed, plain: 0, limits })
    }

    /// How the content is packed.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// What is wrong where a reading failed.
    #[must_use]
    pub fn fault(error: io::Error) -> Error {
        fault("reading the layer", error)
    }
}

/// Hands packed content to `work` as plain bytes, on a blocking thread. Nothing of them is hashed here. Dropping the future
/// ends the reading: `work` then reads an error.
///
/// # Errors
/// Those of `work`, which tells what its reading failed of by [`Unpacked::fault`], and of [`Unpacked::open`].
pub async fn unpack<T: Send + 'static>(
    from: ByteStream,
    unpack: Unpack,
    limits: Limits,
    work: impl FnOnce(Unpacked) -> Result<T> + Send + 'static,
) -> Result<T> {
    pump::consume(from, move |input| work(Unpacked::open(input, unpack, limits)?)).await
}

/// Counts what is read.
struct Counted<R> {
    from: R,
    count: Rc<Cell<u64>>,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.from.read(into)?;
        self.count.set(self.count.get() + bytes as u64);
        Ok(bytes)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.from.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.from.consume(bytes);
        self.count.set(self.count.get() + bytes as u64);
    }
}

fn decoder(form: Form, packed: impl BufRead + 'static) -> io::Result<Box<dyn Read>> {
    Ok(match form {
        Form::Plain => Box::new(packed),
        Form::Gzip => Box::new(MultiGzDecoder::new(packed)),
        Form::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(BufReader::with_capacity(DECODED_BYTES, decoder))
        }
        Form::Bzip2 | Form::Xz => {
            return Err(io::Error::other(Error::Unsupported(format!(
                "the layer is packed with {form}, which cannot be undone here; copy it without a change of its compression"
            ))));
        }
    })
}

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.decoder.read(into)?;
        self.plain += bytes as u64;
        if self.form != Form::Plain {
            self.limits.check(self.plain, self.packed.get())?;
        }
        Ok(bytes)
    }
}
