//! Lists the objects of a folder, without holding more than a few of them in memory.

use std::{
    fs::{self, DirEntry, Metadata, ReadDir},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{
    Listed, Result, StorageError,
    filesystem::{blocking, storage_error},
    key,
};
use crate::{catalog::ObjectKey, clock::Timestamp};

/// Objects that are looked for at a time, on a thread that may block.
const BATCH: usize = 512;

/// Lists the objects below the folder `below` of `root`. Each is as old as its name, which is what says
/// how long it may have belonged to nobody: a file that was given a second name keeps the time at which
/// it was written.
pub(super) fn list(root: PathBuf, below: &str) -> BoxStream<'static, Result<Listed>> {
    walk(root, below, |found| {
        let named = UNIX_EPOCH.checked_add(Duration::from_secs(found.ctime().try_into().unwrap_or_default()));
        Ok(found.modified()?.max(named.unwrap_or(UNIX_EPOCH)))
    })
}

/// Lists the files of a tree that somebody else wrote, each as old as what is in it.
pub(super) fn list_tree(root: PathBuf, below: &str) -> BoxStream<'static, Result<Listed>> {
    walk(root, below, Metadata::modified)
}

/// When a file came.
type Time = fn(&Metadata) -> io::Result<SystemTime>;

fn walk(root: PathBuf, below: &str, time: Time) -> BoxStream<'static, Result<Listed>> {
    let below = ObjectKey(below.trim_matches('/').to_owned());
    if !below.0.is_empty() && key::components(&below).is_none() {
        let refused = StorageError::Corrupt(format!("{:?} is no folder", below.0));
        return stream::once(async { Err(refused) }).boxed();
    }
    let begun = Walk { folders: vec![(root.join(&below.0), below.0)], open: None, time };
    let batches = stream::try_unfold(begun, |mut walk| {
        blocking(move || {
            let batch = walk.batch().map_err(storage_error)?;
            Ok((!batch.is_empty()).then(|| (stream::iter(batch.into_iter().map(Ok)), walk)))
        })
    });
    batches.try_flatten().boxed()
}

/// How far a walk has come: folders to look into, and the one it is in.
struct Walk {
    folders: Vec<(PathBuf, String)>,
    open: Option<(ReadDir, String)>,
    time: Time,
}

impl Walk {
    /// The next objects; none when the walk is over.
    fn batch(&mut self) -> io::Result<Vec<Listed>> {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some((entries, name)) = &mut self.open else {
                let Some((path, name)) = self.folders.pop() else { break };
                match fs::read_dir(path) {
                    Ok(entries) => self.open = Some((entries, name)),
                    // Nothing was ever put there, or it went while it was listed.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
                continue;
            };
            let Some(entry) = entries.next() else {
                self.open = None;
                continue;
            };
            let entry = entry?;
            // A name that is no text is none of ours.
            let Ok(file) = entry.file_name().into_string() else { continue };
            let name = if name.is_empty() { file } else { format!("{name}/{file}") };
            if entry.file_type()?.is_dir() {
                self.folders.push((entry.path(), name));
            } else if let Some(listed) = listed(&entry, name, self.time)? {
                batch.push(listed);
            }
        }
        Ok(batch)
    }
}

fn listed(entry: &DirEntry, name: String, time: Time) -> io::Result<Option<Listed>> {
    let found = match entry.metadata() {
        Ok(found) if found.is_file() => found,
        // Links are never followed, so they are no objects.
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let since = time(&found)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(Listed { key: ObjectKey(name), size: found.len(), modified: Timestamp::default() + since }))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::clock::{Clock, SystemClock};

    #[tokio::test]
    async fn a_file_is_as_young_as_the_name_it_was_given_last() {
        let data = tempfile::tempdir().unwrap();
        let (theirs, ours) = (data.path().join("theirs"), data.path().join("blobs"));
        fs::create_dir(&ours).unwrap();
        let written = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::create(&theirs).unwrap().set_modified(written).unwrap();
        fs::hard_link(&theirs, ours.join("x")).unwrap();
        let now = SystemClock.now();
        let one = |listed: Vec<Listed>| listed.into_iter().next().unwrap().modified;
        let named = one(list(data.path().to_owned(), "blobs").try_collect().await.unwrap());
        assert!(now.0 - named.0 < 60_000_000, "{named:?} is not now");
        let in_tree = one(list_tree(data.path().to_owned(), "blobs").try_collect().await.unwrap());
        assert_eq!(in_tree.0, 1_000_000_000_000_000);
    }
}
