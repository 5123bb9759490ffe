//! The part that an upload fills, and the memory that all uploads to a bucket may use together.
//!
//! A part is in memory while there is room, and in a file without a name when there is none: a slow sender then holds
//! disk and not memory, and nobody waits for it. Memory for a part on its way to the bucket is waited for, since
//! whoever holds it gives it back within a request's time.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use object_store::PutPayload;
use rustix::fs::{Mode, OFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Result, StorageError,
    filesystem::{blocking, private_file, storage_error},
};

/// What permits count.
const UNIT: u64 = 4096;

/// The memory that uploads may use, and where they go on when it is used up.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    // For parts that fill. Never waited for.
    filling: Arc<Semaphore>,
    // For parts that were in a file and are on their way. Waited for.
    sending: Arc<Semaphore>,
    half: u32,
    spill: Option<PathBuf>,
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

impl Memory {
    /// So many bytes, half of them for parts that fill and half for those of `spill`'s files on their way. Without a folder
    /// for files there is no bound, for a bound that waits for senders would let slow ones stop all others.
    pub(super) fn new(bytes: u64, spill: Option<PathBuf>) -> Self {
        let half = units(bytes / 2).max(1);
        let semaphore = || Arc::new(Semaphore::new(usize::try_from(half).unwrap_or(usize::MAX)));
        Self { filling: semaphore(), sending: semaphore(), half, spill }
    }

    async fn for_sending(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        // A part of more than all of it waits for all of it.
        let wanted = units(bytes).min(self.half);
        let permit = self.sending.clone().acquire_many_owned(wanted).await;
        permit.map_err(|closed| StorageError::Unavailable(closed.into()))
    }

    /// A file that is gone when it is closed.
    fn file(folder: &PathBuf) -> io::Result<File> {
        std::fs::create_dir_all(folder)?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(file.into()),
            // A file system that has no files without a name.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
                let path = folder.join(uuid::Uuid::new_v4().to_string());
                let file = private_file().create_new(true).open(&path)?;
                std::fs::remove_file(path)?;
                Ok(file)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Debug)]
enum Place {
    Memory(Vec<Bytes>, Option<OwnedSemaphorePermit>),
    File(Arc<File>),
}

/// Bytes that are in no part yet.
#[derive(Debug)]
pub(super) struct Filling {
    memory: Memory,
    place: Place,
    size: u64,
}

impl Filling {
    /// Nothing yet.
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, place: Place::Memory(Vec::new(), None), size: 0 }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends.
    pub(super) async fn push(&mut self, bytes: Bytes) -> Result<()> {
        let at = self.size;
        self.size += bytes.len() as u64;
        let more = units(self.size) - units(at);
        if let Place::Memory(pieces, held) = &mut self.place {
            let Some(spill) = &self.memory.spill else {
                pieces.push(bytes);
                return Ok(());
            };
            if let Ok(permit) = self.memory.filling.clone().try_acquire_many_owned(more) {
                pieces.push(bytes);
                match held {
                    Some(held) => held.merge(permit),
                    None => *held = Some(permit),
                }
                return Ok(());
            }
            let (pieces, spill) = (std::mem::take(pieces), spill.clone());
            let file = blocking(move || spilled(&spill, &pieces)).await?;
            self.place = Place::File(Arc::new(file));
        }
        if let Place::File(file) = &self.place {
            let file = file.clone();
            blocking(move || file.write_all_at(&bytes, at).map_err(storage_error)).await?;
        }
        Ok(())
    }

    /// Takes what is held, and leaves nothing.
    pub(super) fn take(&mut self) -> Filled {
        let place = std::mem::replace(&mut self.place, Place::Memory(Vec::new(), None));
        Filled { memory: self.memory.clone(), place, size: std::mem::take(&mut self.size) }
    }
}

fn spilled(folder: &PathBuf, pieces: &[Bytes]) -> Result<File> {
    let spill = || {
        let file = Memory::file(folder)?;
        let mut at = 0;
        for piece in pieces {
            file.write_all_at(piece, at)?;
            at += piece.len() as u64;
        }
        Ok(file)
    };
    spill().map_err(|error: io::Error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => storage_error(error),
        _ => StorageError::Unavailable(format!("{}, where uploads go on: {error}", folder.display()).into()),
    })
}

/// A part on its way.
#[derive(Debug)]
pub(super) struct Filled {
    memory: Memory,
    place: Place,
    size: u64,
}

impl Filled {
    /// Its bytes, and the right to hold them until they are sent.
    pub(super) async fn load(self) -> Result<(PutPayload, Option<OwnedSemaphorePermit>)> {
        match self.place {
            Place::Memory(pieces, held) => Ok((pieces.into_iter().collect(), held)),
            Place::File(file) => {
                let permit = self.memory.for_sending(self.size).await?;
                let size = usize::try_from(self.size).unwrap_or(usize::MAX);
                let bytes = blocking(move || {
                    let mut bytes = vec![0; size];
                    file.read_exact_at(&mut bytes, 0).map_err(storage_error)?;
                    Ok(bytes)
                });
                Ok((bytes.await?.into(), Some(permit)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn loaded(filling: &mut Filling) -> Vec<u8> {
        let (payload, _permit) = filling.take().load().await.unwrap();
        Bytes::from(payload).to_vec()
    }

    #[tokio::test]
    async fn what_finds_no_room_in_memory_goes_on_in_a_file_and_nobody_waits_for_the_sender() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(16 * UNIT, Some(folder.path().join("spill")));
        let [mut slow, mut next] = [(); 2].map(|()| Filling::new(memory.clone()));
        let piece = |byte| Bytes::from(vec![byte; 3 * usize::try_from(UNIT).unwrap()]);
        // Six of eight units; the sender never comes back.
        slow.push(piece(1)).await.unwrap();
        slow.push(piece(2)).await.unwrap();
        for byte in 3..9 {
            next.push(piece(byte)).await.unwrap();
        }
        assert!(matches!(next.place, Place::File(_)), "{next:?}");
        let expected: Vec<u8> = (3..9).flat_map(piece).collect();
        assert_eq!(loaded(&mut next).await, expected);
        assert_eq!(memory.filling.available_permits(), 2);
        assert_eq!(loaded(&mut slow).await, [piece(1), piece(2)].concat());
        assert_eq!((memory.filling.available_permits(), memory.sending.available_permits()), (8, 8));
        // Nothing has a name.
        assert_eq!(std::fs::read_dir(folder.path().join("spill")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn parts_from_files_are_sent_within_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(2 * UNIT, Some(folder.path().to_owned()));
        let mut fillings = [(); 2].map(|()| Filling::new(memory.clone()));
        for filling in &mut fillings {
            filling.push(vec![7; 50_000].into()).await.unwrap();
        }
        let [first, second] = fillings.map(|mut filling| filling.take());
        let (payload, permit) = first.load().await.unwrap();
        assert_eq!(payload.content_length(), 50_000);
        let mut waiting = Box::pin(second.load());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(permit);
        assert_eq!(waiting.await.unwrap().0.content_length(), 50_000);
    }

    #[tokio::test]
    async fn without_a_place_for_files_the_upload_fails_and_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("file");
        std::fs::write(&taken, "").unwrap();
        let mut filling = Filling::new(Memory::new(0, Some(taken.clone())));
        let said = filling.push(vec![7; 50_000].into()).await.unwrap_err().to_string();
        assert!(said.contains(taken.to_str().unwrap()), "{said}");
    }
}
