//! What a copy notes so that a later process goes on where it was killed (`--resume`).
//!
//! Blobs that are whole at the destination are found there by asking; the journal adds what cannot be asked for: uploads
//! that were begun, and what was made of layers, which need not be made again. It is advice, checked against the
//! destination: a line that is wrong, old or cut costs a request, and never a wrong image. So lines are not synced to the
//! disk one by one: what a crash of the machine takes is sent again.
//!
//! One file per source and destination, gone when the copy is done; one process at a time.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use berth_oci::{Algorithm, Descriptor, Digest, MediaType};
use serde::{Deserialize, Serialize};

use super::lock::Lock;
use crate::{Error, Result, UploadHandle};

/// Opens no symbolic link.
#[expect(clippy::cast_possible_wrap, reason = "a flag of the kernel's own int")]
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
/// Most bytes of a journal that are read: some ten thousand blobs.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The notes of one copy.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Lock<File>,
    notes: Lock<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    uploads: HashMap<Digest, UploadHandle>,
    made: HashMap<(Digest, String), Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Copy { from: String, to: String },
    Upload { digest: Digest, url: String },
    Done { digest: Digest },
    Made { digest: Digest, recipe: String, blob: MadeBlob },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MadeBlob {
    media_type: String,
    digest: Digest,
    size: u64,
    annotations: std::collections::BTreeMap<String, String>,
}

/// The usual folder of journals: `berth/copier` in `$XDG_STATE_HOME`, or in `~/.local/state`.
#[must_use]
pub fn journal_folder() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || Some(std::env::home_dir()?.join(".local/state"));
    state.or_else(home).map(|folder| folder.join("berth/copier"))
}

/// A journal is believed where it says what was made of a layer, so nobody else may have written it.
fn is_ours(file: &File, path: &Path) -> Result<()> {
    let found = file.metadata().map_err(Error::file(path))?;
    if found.is_file() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{}: a journal must be a file of this user that nobody else can write; remove it",
        path.display()
    )))
}

impl Journal {
    /// Opens the journal of the copy `from` → `to` in a folder, which is made. `None` while another process has it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn open(folder: &Path, from: &str, to: &str) -> Result<Option<Self>> {
        std::fs::create_dir_all(folder).map_err(Error::file(folder))?;
        let name = Digest::of(Algorithm::Sha256, format!("{from}\n{to}").as_bytes());
        let path = folder.join(format!("{}.journal", &name.hex()[..32]));
        let fault = || Error::file(&path);
        // An upload's address may be all that it takes to write to it.
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(NO_LINK)
            .open(&path)
            .map_err(fault())?;
        is_ours(&file, &path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(fault()(errno.into())),
        }
        let notes = read(&file, from, to).map_err(fault())?;
        let known = notes.is_some();
        let journal = Self { file: Lock::new(file), notes: Lock::new(notes.unwrap_or_default()), path };
        if !known {
            journal.file.lock().set_len(0).map_err(Error::file(&journal.path))?;
            journal.write(&Line::Copy { from: from.to_owned(), to: to.to_owned() });
        }
        Ok(Some(journal))
    }

    /// The upload of a blob that was begun and not ended.
    pub(super) fn upload(&self, digest: &Digest) -> Option<UploadHandle> {
        self.notes.lock().uploads.get(digest).cloned()
    }

    /// What was made of a blob.
    pub(super) fn made(&self, digest: &Digest, recipe: &str) -> Option<Descriptor> {
        self.notes.lock().made.get(&(digest.clone(), recipe.to_owned())).cloned()
    }

    pub(super) fn note_upload(&self, digest: &Digest, upload: &UploadHandle) {
        self.write(&Line::Upload { digest: digest.clone(), url: upload.0.to_string() });
    }

    pub(super) fn note_done(&self, digest: &Digest) {
        self.write(&Line::Done { digest: digest.clone() });
    }

    pub(super) fn note_made(&self, digest: &Digest, recipe: &str, blob: &Descriptor) {
        let made = MadeBlob {
            media_type: blob.media_type.to_string(),
            digest: blob.digest.clone(),
            size: blob.size,
            annotations: blob.annotations.clone(),
        };
        self.write(&Line::Made { digest: digest.clone(), recipe: recipe.to_owned(), blob: made });
    }

    /// The copy is done: there is nothing to go on with.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub(super) fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(Error::file(&self.path))
    }

    /// A line in one write. What cannot be noted is moved again by the next process, which is no fault of this copy.
    fn write(&self, line: &Line) {
        let written = serde_json::to_string(line).map_err(std::io::Error::from).and_then(|text| {
            let mut file = self.file.lock();
            file.write_all(format!("{text}\n").as_bytes())
        });
        if let Err(error) = written {
            tracing::warn!("{} takes no more notes: {error}", self.path.display());
        }
    }
}

/// The notes of an earlier process; `None` for what is no journal of this copy.
fn read(mut file: &File, from: &str, to: &str) -> std::io::Result<Option<Notes>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Ok(None);
    }
    let mut lines = bytes.split(|byte| *byte == b'\n').map(serde_json::from_slice::<Line>);
    match lines.next() {
        Some(Ok(Line::Copy { from: its, to: place })) if its == from && place == to => {}
        _ => return Ok(None),
    }
    let mut notes = Notes::default();
    // The last line may be cut, and any may be damaged: each counts for itself.
    for line in lines.flatten() {
        match line {
            Line::Copy { .. } => {}
            Line::Upload { digest, url } => {
                if let Ok(url) = url.parse() {
                    notes.uploads.insert(digest, UploadHandle(url));
                }
            }
            Line::Done { digest } => {
                notes.uploads.remove(&digest);
            }
            Line::Made { digest, recipe, blob } => {
                let made = Descriptor::new(MediaType::new(&blob.media_type), blob.digest, blob.size);
                notes.made.insert((digest, recipe), Descriptor { annotations: blob.annotations, ..made });
            }
        }
    }
    Ok(Some(notes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(Algorithm::Sha256, text.as_bytes())
    }

    fn upload(url: &str) -> UploadHandle {
        UploadHandle(url.parse().unwrap())
    }

    fn open(folder: &Path) -> Journal {
        Journal::open(folder, "docker://a/b:1", "docker://c/d:1").unwrap().unwrap()
    }

    #[test]
    fn a_later_process_finds_what_was_begun_and_made() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path());
        let mut made = Descriptor::new(MediaType::new("x/y"), digest("made"), 4);
        made.annotations.insert("a".to_owned(), "b".to_owned());
        journal.note_upload(&digest("one"), &upload("http://c/one"));
        journal.note_upload(&digest("two"), &upload("http://c/two"));
        journal.note_made(&digest("three"), "gzip", &made);
        journal.note_done(&digest("one"));
        drop(journal);
        let journal = open(folder.path());
        assert!(journal.upload(&digest("one")).is_none());
        assert_eq!(journal.upload(&digest("two")).unwrap().0.as_str(), "http://c/two");
        assert_eq!(journal.made(&digest("three"), "gzip"), Some(made));
        assert_eq!(journal.made(&digest("three"), "zstd"), None);
        journal.remove().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_that_somebody_else_may_have_written_is_refused() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = open(folder.path()).path.clone();
        let refused = || Journal::open(folder.path(), "docker://a/b:1", "docker://c/d:1").unwrap_err();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
        assert_eq!(refused().exit_code(), 5);
        std::fs::rename(&path, folder.path().join("planted")).unwrap();
        symlink(folder.path().join("planted"), &path).unwrap();
        assert_eq!(refused().exit_code(), 1);
        std::fs::remove_file(&path).unwrap();
        open(folder.path());
    }

    #[test]
    fn damage_costs_the_damaged_lines_only() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path());
        journal.note_upload(&digest("one"), &upload("http://c/one"));
        let path = journal.path.clone();
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\xff\xfe{}\n{\"upload\":{\"digest\":\"sha256:../..\",\"url\":\"x\"}}\n[[[[\n")
            .unwrap();
        let rest =
            format!("{{\"upload\":{{\"digest\":\"{}\",\"url\":\"http://c/two\"}}}}\n{{\"upl", digest("two"));
        file.write_all(rest.as_bytes()).unwrap();
        let journal = open(folder.path());
        assert!(journal.upload(&digest("one")).is_some() && journal.upload(&digest("two")).is_some());
    }

    #[test]
    fn what_is_no_journal_of_this_copy_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        for garbage in [&b"not a journal"[..], b"{\"copy\":{\"from\":\"x\",\"to\":\"y\"}}\n", b"\0\0\0", b""]
        {
            let journal = open(folder.path());
            std::fs::write(&journal.path, garbage).unwrap();
            drop(journal);
            let journal = open(folder.path());
            assert!(journal.upload(&digest("one")).is_none());
            journal.note_upload(&digest("one"), &upload("http://c/one"));
            drop(journal);
            assert!(open(folder.path()).upload(&digest("one")).is_some(), "{garbage:?}");
        }
    }

    #[test]
    fn one_process_has_it_at_a_time_and_only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path());
        assert!(Journal::open(folder.path(), "docker://a/b:1", "docker://c/d:1").unwrap().is_none());
        assert!(Journal::open(folder.path(), "docker://a/b:2", "docker://c/d:2").unwrap().is_some());
        let mode = std::fs::metadata(&journal.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
