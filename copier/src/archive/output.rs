//! A tar file that is being written.
//!
//! Into a file, blobs of a known length are written side by side, each into a range of its own; one whose length nobody
//! knows is written at the end while the others wait, or goes through a temporary file if the end is taken. A pipe takes one
//! after the other. A file gets its name when it is whole.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use berth_oci::{Descriptor, Digest};
use tokio::sync::{Mutex, MutexGuard};

use super::{
    header::{self, BLOCK, padded},
    range::{At, End, Pipe},
};
use crate::{
    ByteStream, Content, Error, Result,
    content::Blob,
    disk::{self, Filled, Folder, OWN_ALGORITHM, Scratch, blocking, check_length, fill},
};

/// A tar file or stream. Members are added through a shared reference.
#[derive(Debug)]
pub(crate) struct TarOutput {
    path: PathBuf,
    /// For blobs whose length is unknown.
    temporary: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    File { file: Arc<File>, folder: Folder, name: String, end: Mutex<End> },
    Stream(Mutex<Option<Pipe>>),
}

impl TarOutput {
    /// Begins a file, or a stream where the path is `-` or already something else than a file (a pipe, a device).
    pub(crate) fn create(path: &Path, temporary: PathBuf) -> Result<Self> {
        let stream = |writer| Target::Stream(Mutex::new(Some(Pipe(writer))));
        let target = if path.as_os_str() == "-" {
            stream(Box::new(io::stdout()))
        } else if std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
            stream(Box::new(File::options().write(true).open(path).map_err(Error::file(path))?))
        } else {
            Self::file(path)?
        };
        Ok(Self { path: path.to_owned(), temporary, target })
    }

    /// Begins a stream to somewhere else.
    pub(crate) fn stream(writer: impl Write + Send + 'static, what: &str, temporary: PathBuf) -> Self {
        let target = Target::Stream(Mutex::new(Some(Pipe(Box::new(writer)))));
        Self { path: what.into(), temporary, target }
    }

    fn file(path: &Path) -> Result<Target> {
        // A link's target is written, as by any other program, and the link stays.
        let followed = std::fs::canonicalize(path);
        let path = followed.as_deref().unwrap_or(path);
        let name = match path.file_name().map(std::ffi::OsStr::to_str) {
            Some(Some(name)) if !path.is_dir() => name.to_owned(),
            Some(None) => {
                return Err(Error::Usage(format!("{}: the file's name is no UTF-8", path.display())));
            }
            _ => return Err(Error::Usage(format!("{}: a folder; an archive is one file", path.display()))),
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = Folder::open(parent)?
            .ok_or_else(|| Error::file(path)(io::Error::from(io::ErrorKind::NotFound)))?;
        let scratch = Scratch::new(&folder)?;
        let file = Arc::new(scratch.file()?);
        let end = End::new(scratch);
        Ok(Target::File { file, folder, name, end: Mutex::new(end) })
    }

    /// Whether several blobs may come at once.
    pub(crate) const fn concurrent(&self) -> bool {
        matches!(self.target, Target::File { .. })
    }

    /// Adds a small file.
    pub(crate) async fn member(&self, name: &str, content: &[u8]) -> Result<()> {
        self.raw(header::file(name, content.len() as u64)?, content).await
    }

    /// Adds a folder.
    pub(crate) async fn folder(&self, name: &str) -> Result<()> {
        self.raw(header::folder(name)?, &[]).await
    }

    async fn raw(&self, mut bytes: Vec<u8>, content: &[u8]) -> Result<()> {
        bytes.extend_from_slice(content);
        bytes.resize(usize::try_from(padded(bytes.len() as u64)).unwrap_or(bytes.len()), 0);
        match &self.target {
            Target::File { file, end, .. } => {
                let mut end = end.lock().await;
                let (file, at, length) = (file.clone(), end.at, bytes.len() as u64);
                self.write(move || file.write_all_at(&bytes, at)).await?;
                end.at += length;
            }
            Target::Stream(pipe) => {
                let mut slot = pipe.lock().await;
                let mut pipe = self.take(&mut slot)?;
                let written = self.write(move || pipe.0.write_all(&bytes).map(|()| pipe));
                *slot = Some(written.await?);
            }
        }
        Ok(())
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path.clone();
        blocking(move || work().map_err(Error::file(path))).await
    }

    /// Takes away what was written behind the end, so that no padding is made of it.
    async fn cut(&self, file: &Arc<File>, end: u64) -> Result<()> {
        let file = file.clone();
        self.write(move || file.set_len(end)).await
    }

    fn take(&self, pipe: &mut MutexGuard<'_, Option<Pipe>>) -> Result<Pipe> {
        pipe.take().ok_or_else(|| Error::Other {
            what: self.path.display().to_string(),
            source: "the archive broke off in an earlier member".into(),
        })
    }

    /// Adds a blob under the name that its digest gives it, and says what it is.
    ///
    /// `taken` is asked once, as soon as the digest and the length are known: whether the blob is in the archive already.
    pub(crate) async fn blob(
        &self,
        blob: &Blob,
        content: &dyn Content,
        name: impl Fn(&Digest) -> String + Send + Sync,
        taken: impl Fn(&Digest, u64) -> bool + Send + Sync,
    ) -> Result<Descriptor> {
        if let Some(known) = &blob.known {
            let stored = Descriptor::new(blob.media_type.clone(), known.digest.clone(), known.size);
            if !taken(&stored.digest, stored.size) {
                self.known(&stored, content.open(0).await?, &name(&known.digest)).await?;
            }
            return Ok(stored);
        }
        if let Target::File { file, end, .. } = &self.target
            && let Ok(mut end) = end.try_lock()
        {
            let into = At { file: file.clone(), at: end.at + BLOCK };
            let content = content.open(0).await?;
            // Where the future is dropped in here, a thread may still write there: the range stays open.
            end.open += 1;
            let filled = fill(into, self.path.clone(), content, Some(OWN_ALGORITHM)).await;
            end.open -= 1;
            let stored = match filled {
                Ok(Filled { size, digest: Some(digest), .. }) if !taken(&digest, size) => {
                    let (file, at, header) = (file.clone(), end.at, header::file(&name(&digest), size)?);
                    self.write(move || file.write_all_at(&header, at)).await?;
                    end.at += BLOCK + padded(size);
                    return Ok(Descriptor::new(blob.media_type.clone(), digest, size));
                }
                Ok(Filled { size, digest, .. }) => {
                    let digest = digest.ok_or_else(unhashed);
                    digest.map(|digest| Descriptor::new(blob.media_type.clone(), digest, size))
                }
                Err(fault) => Err(fault),
            };
            self.cut(file, end.at).await?;
            return stored;
        }
        let (file, folder) = (tempfile::tempfile_in(&self.temporary), self.temporary.clone());
        let file = file.map_err(Error::file(&folder))?;
        let Filled { file, size, digest } =
            fill(file, folder.clone(), content.open(0).await?, Some(OWN_ALGORITHM)).await?;
        let digest = digest.ok_or_else(unhashed)?;
        let stored = Descriptor::new(blob.media_type.clone(), digest, size);
        if !taken(&stored.digest, size) {
            let again = disk::read(Arc::new(file), folder, 0, size);
            self.known(&stored, again, &name(&stored.digest)).await?;
        }
        Ok(stored)
    }

    async fn known(&self, blob: &Descriptor, content: ByteStream, name: &str) -> Result<()> {
        let header = header::file(name, blob.size)?;
        match &self.target {
            Target::File { file, end, .. } => {
                let begin = end.lock().await.begin(blob.size);
                let into = At { file: file.clone(), at: begin };
                let written = self.fill(into, header, content, blob).await;
                // Where the future is dropped before this, a thread may still write there: the range stays open.
                let mut end = end.lock().await;
                end.close(begin, blob.size, written.is_ok());
                if end.at == begin {
                    self.cut(file, begin).await?;
                }
                written.map(drop)
            }
            Target::Stream(pipe) => {
                let mut slot = pipe.lock().await;
                let pipe = self.take(&mut slot)?;
                let Filled { file: mut pipe, size, .. } = self.fill(pipe, header, content, blob).await?;
                let rest = vec![0; usize::try_from(padded(size) - size).unwrap_or(0)];
                *slot = Some(self.write(move || pipe.write_all(&rest).map(|()| pipe)).await?);
                Ok(())
            }
        }
    }

    async fn fill<W: Write + Send + 'static>(
        &self,
        mut into: W,
        header: Vec<u8>,
        content: ByteStream,
        blob: &Descriptor,
    ) -> Result<Filled<W>> {
        let into = self.write(move || into.write_all(&header).map(|()| into)).await?;
        // Beyond its length a blob would be another's.
        let bounded = disk::bounded(content, blob.digest.clone(), blob.size);
        let filled = fill(into, self.path.clone(), bounded, None).await?;
        check_length(&blob.digest, blob.size, filled.size)?;
        Ok(filled)
    }

    /// Ends the archive, durably.
    pub(crate) async fn finish(&self) -> Result<()> {
        const TAIL: [u8; 1024] = [0; 1024];
        match &self.target {
            Target::File { file, folder, name, end } => {
                let mut end = end.lock().await;
                let whole = end.is_whole();
                let scratch = end.scratch.take().filter(|_| whole);
                let scratch = scratch.ok_or_else(|| Error::Other {
                    what: self.path.display().to_string(),
                    source: "a blob of the archive was begun and not finished".into(),
                })?;
                let (file, at, folder) = (file.clone(), end.at, folder.clone());
                let name = name.clone();
                self.write(move || file.set_len(at + TAIL.len() as u64).and_then(|()| file.sync_data()))
                    .await?;
                blocking(move || {
                    scratch.keep(&folder, &name)?;
                    folder.sync()
                })
                .await
            }
            Target::Stream(pipe) => {
                let mut slot = pipe.lock().await;
                let mut pipe = self.take(&mut slot)?;
                self.write(move || pipe.0.write_all(&TAIL).and_then(|()| pipe.0.flush())).await
            }
        }
    }
}

fn unhashed() -> Error {
    Error::Integrity("a blob without a digest".to_owned())
}
