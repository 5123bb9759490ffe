//! The tar file behind a name: as it lies there, or from a pipe or out of gzip or zstd by way of a temporary file.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, BufWriter, Cursor, Read, Write},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::TarIndex;
use crate::{
    Error, Result, Settings,
    compression::{Form, detect},
    disk::blocking,
};

/// Most bytes that a pipe or a compressed archive may have (U11).
const MAX_UNPACKED: u64 = 256 * 1024 * 1024 * 1024;
/// How many bytes may come out of each compressed one, once [`FREE`] came out.
const MAX_RATIO: u64 = 2000;
const FREE: u64 = 256 * 1024 * 1024;
/// Largest zstd window, as a power of two: 128 MiB (U11).
const WINDOW_LOG: u32 = 27;

/// Opens an archive by its path; `-` is standard input.
///
/// # Errors
/// `Error::NotFound` if it is not there, `Error::Integrity` if it is no archive.
pub(crate) async fn open(path: &Path, settings: &Settings) -> Result<TarIndex> {
    let (path, folder) = (path.to_owned(), temporary_folder(settings));
    blocking(move || {
        if path.as_os_str() == "-" {
            return TarIndex::read(spool(io::stdin(), Path::new("standard input"), &folder)?, &path);
        }
        let file = File::open(&path).map_err(Error::named_file("opening the archive", &path))?;
        let about = file.metadata().map_err(Error::file(&path))?;
        if about.is_dir() {
            return Err(Error::Usage(format!("{}: a folder; an archive is one file", path.display())));
        }
        let plain = about.is_file() && !is_compressed(&file).map_err(Error::file(&path))?;
        let file = if plain { file } else { spool(file, &path, &folder)? };
        TarIndex::read(file, &path)
    })
    .await
}

/// Where big temporary files go, as everywhere in the family: not into memory.
pub(crate) fn temporary_folder(settings: &Settings) -> PathBuf {
    let own = settings.tmpdir.clone().or_else(|| std::env::var_os("TMPDIR").map(PathBuf::from));
    own.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| "/var/tmp".into())
}

fn is_compressed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut begin = [0; 6];
    let length = file.read_at(&mut begin, 0)?;
    Ok(detect(&begin[..length]) != Form::Plain)
}

/// Puts a stream into a file without a name, unpacked if it is compressed.
pub(super) fn spool(mut from: impl Read, path: &Path, folder: &Path) -> Result<File> {
    let fault = |path: &Path| Error::file(path.to_owned());
    let mut begin = Vec::new();
    from.by_ref().take(6).read_to_end(&mut begin).map_err(fault(path))?;
    let packed = Cell::new(0);
    let from = Counted { from: Cursor::new(begin.clone()).chain(from), count: &packed };
    let form = detect(&begin);
    let mut plain: Box<dyn Read + '_> = match form {
        Form::Plain => Box::new(from),
        Form::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(256 * 1024, from))),
        Form::Zstd => {
            let mut decoder = zstd::Decoder::new(from).map_err(fault(path))?;
            decoder.window_log_max(WINDOW_LOG).map_err(fault(path))?;
            Box::new(decoder)
        }
        form @ (Form::Bzip2 | Form::Xz) => {
            return Err(Error::Unsupported(format!(
                "{}: archives in {form} are not read; unpack it first",
                path.display()
            )));
        }
    };
    let file = tempfile::tempfile_in(folder).map_err(fault(folder))?;
    let mut writer = BufWriter::with_capacity(256 * 1024, file);
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0;
    loop {
        let length = match plain.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
            Err(fault) => return Err(Error::Integrity(format!("{}: {fault}", path.display()))),
        };
        total += length as u64;
        let bomb = form != Form::Plain && total > FREE && total / MAX_RATIO > packed.get();
        if bomb || total > MAX_UNPACKED {
            return Err(Error::Integrity(format!(
                "{}: {} bytes unpack to {total} and more, which is more than an archive may have",
                path.display(),
                packed.get()
            )));
        }
        writer.write_all(&buffer[..length]).map_err(fault(folder))?;
    }
    writer.into_inner().map_err(|fault| Error::file(folder)(fault.into_error()))
}

/// Counts what is read.
struct Counted<'a, R> {
    from: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(into)?;
        self.count.set(self.count.get() + length as u64);
        Ok(length)
    }
}
