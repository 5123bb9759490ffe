//! Content on its way into a file, written and hashed by a thread.

use std::{io::Write, path::PathBuf};

use berth_oci::{Algorithm, Digest, Hasher};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::{ByteStream, Error, Result};

/// Pieces that wait for the disk.
const WAITING: usize = 4;

/// What was written.
#[derive(Debug)]
pub(crate) struct Filled<W> {
    /// The file again.
    pub(crate) file: W,
    /// Bytes that were written.
    pub(crate) size: u64,
    /// Their digest, where it was asked for.
    pub(crate) digest: Option<Digest>,
}

/// Writes all of a stream to `file` and computes its digest if that is asked for. `path` is for messages.
///
/// Where the future is dropped the thread stops after the piece it is at.
pub(crate) async fn fill<W: Write + Send + 'static>(
    file: W,
    path: PathBuf,
    mut content: ByteStream,
    hash: Option<Algorithm>,
) -> Result<Filled<W>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let writer = tokio::task::spawn_blocking(move || write(file, path, receiver, hash));
    let mut fault = None;
    while let Some(piece) = content.next().await {
        match piece {
            // Where the thread ended early, joining it says why.
            Ok(piece) => {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                fault = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let written =
        writer.await.map_err(|dead| Error::Other { what: "writing a blob".to_owned(), source: dead.into() });
    match fault {
        Some(fault) => Err(fault),
        None => written?,
    }
}

fn write<W: Write>(
    mut file: W,
    path: PathBuf,
    mut pieces: mpsc::Receiver<Bytes>,
    hash: Option<Algorithm>,
) -> Result<Filled<W>> {
    let mut hasher = hash.map(|algorithm| Hasher::new(algorithm.into()));
    let mut size = 0;
    while let Some(piece) = pieces.blocking_recv() {
        file.write_all(&piece).map_err(Error::file(&path))?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&piece);
        }
        size += piece.len() as u64;
    }
    file.flush().map_err(Error::file(&path))?;
    Ok(Filled { file, size, digest: hasher.map(Digest::from_hasher) })
}
