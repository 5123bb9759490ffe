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
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;
use rustix::fs::{Mode, OFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Result, StorageError,
    filesystem::{blocking, private_file, storage_error},
};

/// Memory is given out in blocks of so many bytes, which are used again and again: pieces of any size that live for as long as
/// a part does would tear the allocator's heap to shreds, which costs several times the memory that is used.
const BLOCK: usize = 256 << 10;

/// The memory that uploads may use, and where they go on when it is used up.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    // For parts that fill. Never waited for.
    filling: Arc<Semaphore>,
    // For parts that were in a file and are on their way. Waited for.
    sending: Arc<Semaphore>,
    half: u32,
    spill: Option<PathBuf>,
    // Blocks that nobody uses; no more than there are permits.
    spare: Arc<Mutex<Vec<BytesMut>>>,
}

fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(BLOCK as u64)).unwrap_or(u32::MAX)
}

impl Memory {
    /// So many bytes, half of them for parts that fill and half for those of `spill`'s files on their way. Without a folder
    /// for files there is no bound, for a bound that waits for senders would let slow ones stop all others.
    pub(super) fn new(bytes: u64, spill: Option<PathBuf>) -> Self {
        // As many as a semaphore can count.
        let half = blocks(bytes / 2).clamp(1, 1 << 28);
        let semaphore = || Arc::new(Semaphore::new(usize::try_from(half).unwrap_or(usize::MAX)));
        Self { filling: semaphore(), sending: semaphore(), half, spill, spare: Arc::default() }
    }

    async fn for_sending(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        // A part of more than all of it waits for all of it.
        let wanted = blocks(bytes).min(self.half);
        let permit = self.sending.clone().acquire_many_owned(wanted).await;
        permit.map_err(|closed| StorageError::Unavailable(closed.into()))
    }

    fn block(&self) -> BytesMut {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
    }

    fn give_back(&self, mut block: BytesMut) {
        block.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a bound nothing is kept either.
        if block.capacity() == BLOCK && self.spill.is_some() && spare.len() < 2 * self.half as usize {
            spare.push(block);
        }
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
    Memory { full: Vec<Bytes>, last: BytesMut, held: Option<OwnedSemaphorePermit> },
    File(Arc<File>),
}

impl Default for Place {
    fn default() -> Self {
        Self::Memory { full: Vec::new(), last: BytesMut::new(), held: None }
    }
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
        Self { memory, place: Place::default(), size: 0 }
    }

    /// Bytes held.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends.
    pub(super) async fn push(&mut self, mut bytes: Bytes) -> Result<()> {
        let Self { memory, place, size } = self;
        if let Place::Memory { full, last, held } = place {
            loop {
                let room = bytes.split_to(bytes.len().min(last.capacity() - last.len()));
                last.extend_from_slice(&room);
                *size += room.len() as u64;
                if bytes.is_empty() {
                    return Ok(());
                }
                let Ok(permit) = memory.filling.clone().try_acquire_owned() else { break };
                match held {
                    Some(held) => held.merge(permit),
                    None => *held = Some(permit),
                }
                let filled = std::mem::replace(last, memory.block());
                if !filled.is_empty() {
                    full.push(filled.freeze());
                }
            }
            let Some(spill) = memory.spill.clone() else {
                // Unbounded.
                *size += bytes.len() as u64;
                let filled = std::mem::replace(last, BytesMut::new());
                full.extend([filled.freeze(), bytes]);
                return Ok(());
            };
            let mut pieces = std::mem::take(full);
            pieces.push(std::mem::take(last).freeze());
            let pieces = Blocks { pieces, memory: memory.clone(), held: held.take() };
            let file = blocking(move || spilled(&spill, &pieces.pieces)).await?;
            *place = Place::File(Arc::new(file));
        }
        if let Place::File(file) = place {
            let (file, at) = (file.clone(), *size);
            *size += bytes.len() as u64;
            blocking(move || file.write_all_at(&bytes, at).map_err(storage_error)).await?;
        }
        Ok(())
    }

    /// Takes what is held, and leaves nothing.
    pub(super) fn take(&mut self) -> Filled {
        let place = std::mem::take(&mut self.place);
        Filled { memory: self.memory.clone(), place, size: std::mem::take(&mut self.size) }
    }
}

/// Blocks in use, and the right to have them; given back when this is dropped, which must be after everything else
/// that refers to them.
#[derive(Debug)]
pub(super) struct Blocks {
    pieces: Vec<Bytes>,
    memory: Memory,
    held: Option<OwnedSemaphorePermit>,
}

impl Blocks {
    /// The bytes, as they are sent.
    pub(super) fn payload(&self) -> PutPayload {
        self.pieces.iter().cloned().collect()
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for piece in self.pieces.drain(..) {
            // One that is referred to by something slow is freed when that ends.
            if let Ok(block) = piece.try_into_mut() {
                self.memory.give_back(block);
            }
        }
        drop(self.held.take());
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
    /// Its bytes, to be held until they are sent.
    pub(super) async fn load(self) -> Result<Blocks> {
        let memory = self.memory;
        match self.place {
            Place::Memory { full: mut pieces, last, held } => {
                pieces.push(last.freeze());
                Ok(Blocks { pieces, memory, held })
            }
            Place::File(file) => {
                let mut blocks =
                    Blocks { pieces: Vec::new(), held: Some(memory.for_sending(self.size).await?), memory };
                let read = move || {
                    let mut at = 0;
                    while at < self.size {
                        let mut block = blocks.memory.block();
                        block.resize(usize::try_from(self.size - at).unwrap_or(BLOCK).min(BLOCK), 0);
                        file.read_exact_at(&mut block, at).map_err(storage_error)?;
                        at += block.len() as u64;
                        blocks.pieces.push(block.freeze());
                    }
                    Ok(blocks)
                };
                blocking(read).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn loaded(filling: &mut Filling) -> Vec<u8> {
        Bytes::from(filling.take().load().await.unwrap().payload()).to_vec()
    }

    #[tokio::test]
    async fn what_finds_no_room_in_memory_goes_on_in_a_file_and_nobody_waits_for_the_sender() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(16 * BLOCK as u64, Some(folder.path().join("spill")));
        let [mut slow, mut next] = [(); 2].map(|()| Filling::new(memory.clone()));
        let piece = |byte| Bytes::from(vec![byte; 3 * BLOCK - 7]);
        // Six of eight blocks; the sender never comes back.
        slow.push(piece(1)).await.unwrap();
        slow.push(piece(2)).await.unwrap();
        for byte in 3..9 {
            next.push(piece(byte)).await.unwrap();
        }
        assert!(matches!(next.place, Place::File(_)), "{next:?}");
        assert_eq!(next.size(), 6 * (3 * BLOCK as u64 - 7));
        let expected: Vec<u8> = (3..9).flat_map(piece).collect();
        assert!(loaded(&mut next).await == expected);
        assert_eq!(memory.filling.available_permits(), 2);
        assert!(loaded(&mut slow).await == [piece(1), piece(2)].concat());
        assert_eq!((memory.filling.available_permits(), memory.sending.available_permits()), (8, 8));
        // What was used is used again, and nothing has a name.
        let spare = memory.spare.lock().unwrap().len();
        assert!((8..=16).contains(&spare), "{spare} spare blocks");
        assert_eq!(std::fs::read_dir(folder.path().join("spill")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn parts_from_files_are_sent_within_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(2 * BLOCK as u64, Some(folder.path().to_owned()));
        let mut fillings = [(); 2].map(|()| Filling::new(memory.clone()));
        for filling in &mut fillings {
            filling.push(vec![7; 3 * BLOCK].into()).await.unwrap();
        }
        let [first, second] = fillings.map(|mut filling| filling.take());
        let held = first.load().await.unwrap();
        assert_eq!(held.payload().content_length(), 3 * BLOCK);
        let mut waiting = Box::pin(second.load());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        assert_eq!(waiting.await.unwrap().payload().content_length(), 3 * BLOCK);
    }

    #[tokio::test]
    async fn without_a_place_for_files_the_upload_fails_and_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("file");
        std::fs::write(&taken, "").unwrap();
        let mut filling = Filling::new(Memory::new(0, Some(taken.clone())));
        let said = filling.push(vec![7; 3 * BLOCK].into()).await.unwrap_err().to_string();
        assert!(said.contains(taken.to_str().unwrap()), "{said}");
    }
}
