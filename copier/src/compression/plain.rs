//! The plain bytes of packed content: counted, hashed, and no more than is allowed.

use std::{
    cell::Cell,
    io::{self, BufRead, BufReader, Cursor, Read},
    rc::Rc,
};

use berth_hash::{Hasher, Kind};
use berth_oci::Digest;
use flate2::bufread::MultiGzDecoder;

use super::{
    Form, Unpack, detect,
    form::MAGIC_BYTES,
    pump::{Input, fault},
};
use crate::{Error, Result};

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

/// A reader of plain bytes.
pub(super) struct Plain {
    decoder: Box<dyn Read>,
    form: Form,
    hasher: Hasher,
    taken: Rc<Cell<u64>>,
    limits: Limits,
}

impl Plain {
    /// Looks at the first bytes and begins.
    pub(super) fn open(mut input: Input, unpack: Unpack, limits: Limits) -> Result<Self> {
        let taken = input.taken();
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
        let packed = Cursor::new(first).chain(input);
        let decoder = decoder(form, packed).map_err(reading)?;
        Ok(Self { decoder, form, hasher: Hasher::new(Kind::Sha256), taken, limits })
    }

    /// The form that was undone, the digest of the plain bytes that were read and their number.
    pub(super) fn finish(self) -> (Form, Digest, u64) {
        let size = self.hasher.len();
        (self.form, Digest::from_hasher(self.hasher), size)
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

impl Read for Plain {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.decoder.read(into)?;
        self.hasher.update(&into[..bytes]);
        if self.form != Form::Plain {
            self.limits.check(self.hasher.len(), self.taken.get())?;
        }
        Ok(bytes)
    }
}
