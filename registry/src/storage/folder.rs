//! Lists the objects of a folder, without holding more than a few of them in memory.

use std::{
    fs::{self, DirEntry, ReadDir},
    io::{self, ErrorKind},
    path::PathBuf,
    time::UNIX_EPOCH,
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

/// Lists the objects below the folder `below` of `root`.
pub(super) fn list(root: PathBuf, below: &str) -> BoxStream<'static, Result<Listed>> {
    let below = ObjectKey(below.trim_matches('/').to_owned());
    if !below.0.is_empty() && key::components(&below).is_none() {
        let refused = StorageError::Corrupt(format!("{:?} is no folder", below.0));
        return stream::once(async { Err(refused) }).boxed();
    }
    let begun = Walk { folders: vec![(root.join(&below.0), below.0)], open: None };
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
            } else if let Some(listed) = listed(&entry, name)? {
                batch.push(listed);
            }
        }
        Ok(batch)
    }
}

fn listed(entry: &DirEntry, name: String) -> io::Result<Option<Listed>> {
    let found = match entry.metadata() {
        Ok(found) if found.is_file() => found,
        // Links are never followed, so they are no objects.
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let since = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(Listed { key: ObjectKey(name), size: found.len(), modified: Timestamp::default() + since }))
}
