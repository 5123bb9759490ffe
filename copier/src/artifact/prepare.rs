//! Files on their way into an artifact: what they will be called, and what their digests are.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use berth_oci::{Algorithm, Descriptor, Digest, Hasher, MediaType};
use bytes::Bytes;

use super::{FILE_TYPE, FOLDER_TYPE, FileArgument, TAR_DIGEST, TITLE, UNPACK, document::empty, pack::pack};
use crate::{
    ByteStream, Content, Error, Result,
    disk::{FileContent, Opener},
};

/// A blob that is ready to be sent.
pub(super) struct Prepared {
    pub(super) descriptor: Descriptor,
    /// The file, or the few bytes.
    pub(super) content: Held,
}

/// Where the bytes are.
#[derive(Clone)]
pub(super) enum Held {
    File(Arc<File>, PathBuf),
    Bytes(Bytes),
}

impl Prepared {
    /// Bytes made here.
    pub(super) fn bytes(descriptor: Descriptor, bytes: Bytes) -> Self {
        Self { descriptor, content: Held::Bytes(bytes) }
    }

    /// The empty configuration.
    pub(super) fn empty() -> Self {
        let descriptor = empty();
        let bytes = descriptor.data.clone().unwrap_or_default();
        Self::bytes(descriptor, bytes)
    }

    /// The content, to be opened any number of times.
    pub(super) fn content(&self) -> Box<dyn Content> {
        match &self.content {
            Held::File(file, path) => Box::new(FileContent {
                opener: Opener::Range(file.clone(), path.clone(), 0, self.descriptor.size),
                blob: self.descriptor.clone(),
            }),
            Held::Bytes(bytes) => Box::new(Memory(bytes.clone())),
        }
    }
}

struct Memory(Bytes);

#[async_trait::async_trait]
impl Content for Memory {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(self.0.len());
        let rest = self.0.slice(from..);
        Ok(Box::pin(futures_util::stream::iter((!rest.is_empty()).then_some(Ok(rest)))))
    }
}

/// Reads a file to its end, or packs a folder, and says what it is. Waits for the disk.
///
/// # Errors
/// What cannot be read or packed.
pub(super) fn file(argument: &FileArgument, temporary: &Path) -> Result<Prepared> {
    let title = argument.title()?;
    let path = &argument.path;
    let about = std::fs::metadata(path).map_err(Error::named_file("looking for what to push", path))?;
    let annotate = |descriptor: &mut Descriptor, key: &str, value: String| {
        descriptor.annotations.insert(key.to_owned(), value);
    };
    if about.is_dir() {
        let packed = pack(path, title.name(), temporary)?;
        let media_type = argument.media_type.clone().unwrap_or_else(|| FOLDER_TYPE.into());
        let mut descriptor = Descriptor::new(media_type, packed.digest, packed.size);
        annotate(&mut descriptor, TITLE, title.to_string());
        annotate(&mut descriptor, UNPACK, "true".to_owned());
        annotate(&mut descriptor, TAR_DIGEST, packed.tar_digest.to_string());
        return Ok(Prepared { descriptor, content: Held::File(Arc::new(packed.file), path.clone()) });
    }
    if !about.is_file() {
        return Err(Error::Usage(format!("{}: neither a file nor a folder", path.display())));
    }
    let mut prepared = plain(path, argument.media_type.clone().unwrap_or_else(|| FILE_TYPE.into()))?;
    annotate(&mut prepared.descriptor, TITLE, title.to_string());
    Ok(prepared)
}

/// Reads a file to its end and says what it is.
///
/// # Errors
/// If it cannot be read.
pub(super) fn plain(path: &Path, media_type: MediaType) -> Result<Prepared> {
    let file = File::open(path).map_err(Error::file(path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut hasher = Hasher::new(Algorithm::Sha256.into());
    let mut piece = vec![0; 1 << 20];
    loop {
        match reader.read(&mut piece).map_err(Error::file(path))? {
            0 => break,
            count => hasher.update(&piece[..count]),
        }
    }
    let descriptor = Descriptor::new(media_type, Digest::from_hasher(hasher.clone()), hasher.len());
    Ok(Prepared { descriptor, content: Held::File(Arc::new(reader.into_inner()), path.into()) })
}
