//! Content of files, read ahead by a thread.

use std::{fs::File, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use berth_oci::{Descriptor, Digest, VerifyError};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rustix::{
    buffer::spare_capacity,
    fs::{Advice, fadvise},
    io::{Errno, pread},
};
use tokio::sync::mpsc;

use super::{Folder, blocking, check_length};
use crate::{ByteStream, Content, Error, Result};

/// Bytes read at once.
const PIECE: usize = 512 * 1024;
/// Pieces read ahead of whoever takes them.
const AHEAD: usize = 3;

/// How to get at a file.
#[derive(Clone, Debug)]
pub(crate) enum Opener {
    /// By its name; opened when the content is, so that thousands of blobs hold no descriptors.
    Named(Folder, String),
    /// A range of one that is open: what it is called, its beginning, and its length.
    Range(Arc<File>, PathBuf, u64, u64),
}

/// A blob in a file.
#[derive(Clone, Debug)]
pub(crate) struct FileContent {
    pub(crate) opener: Opener,
    pub(crate) blob: Descriptor,
}

impl FileContent {
    fn locate(&self) -> Result<(Arc<File>, PathBuf, u64, u64)> {
        match &self.opener {
            Opener::Named(folder, name) => {
                let file = folder.open_file(name)?.ok_or_else(|| Error::NotFound {
                    what: format!("reading blob {}", self.blob.digest),
                    place: folder.path().display().to_string(),
                    reason: "no such file".to_owned(),
                })?;
                let path = folder.path_of(name);
                let length = file.metadata().map_err(Error::file(&path))?.len();
                Ok((Arc::new(file), path, 0, length))
            }
            Opener::Range(file, path, begin, length) => Ok((file.clone(), path.clone(), *begin, *length)),
        }
    }
}

#[async_trait]
impl Content for FileContent {
    async fn open(&self, from: u64) -> Result<ByteStream> {
        let own = self.clone();
        let (file, path, begin, length) = blocking(move || own.locate()).await?;
        check_length(&self.blob.digest, self.blob.size, length)?;
        let from = from.min(length);
        Ok(read(file, path, begin + from, length - from))
    }
}

/// The bytes of a range of a file.
pub(crate) fn read(file: Arc<File>, path: PathBuf, begin: u64, length: u64) -> ByteStream {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        // Only advice: a file system that takes none reads as well without.
        let _advised = fadvise(&*file, begin, std::num::NonZeroU64::new(length), Advice::Sequential);
        let mut at = begin;
        while at < begin + length {
            let piece = read_piece(&file, at, begin + length - at).map_err(Error::file(&path));
            at += piece.as_ref().map_or(0, Bytes::len) as u64;
            let ended = piece.is_err();
            // Nobody takes the rest: the stream was dropped.
            if sender.blocking_send(piece).is_err() || ended {
                return;
            }
        }
    });
    // The thread could die without a word; only the count says that all came.
    Box::pin(stream::unfold(Some((receiver, length)), |state| async {
        let (mut receiver, left) = state.filter(|(_, left)| *left > 0)?;
        match receiver.recv().await {
            Some(Ok(piece)) => {
                let left = left - piece.len() as u64;
                Some((Ok(piece), Some((receiver, left))))
            }
            Some(Err(fault)) => Some((Err(fault), None)),
            None => Some((Err(Error::Integrity(format!("{left} bytes of a file did not come"))), None)),
        }
    }))
}

/// A stream that fails where it goes beyond a blob's length.
pub(crate) fn bounded(content: ByteStream, digest: Digest, size: u64) -> ByteStream {
    let mut left = size;
    Box::pin(content.map(move |piece| {
        let piece = piece?;
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| VerifyError::TooLong { digest: digest.clone(), expected: size })?;
        Ok(piece)
    }))
}

fn read_piece(file: &File, at: u64, left: u64) -> std::io::Result<Bytes> {
    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
    let mut piece = Vec::with_capacity(wanted);
    match pread(file, spare_capacity(&mut piece), at) {
        Ok(0) => Err(std::io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(piece.into()),
        Err(Errno::INTR) => read_piece(file, at, left),
        Err(fault) => Err(fault.into()),
    }
}
