//! The tar of a layer, byte for byte as it came.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use berth_oci::{Digest, Hasher};
use rustix::fs::OFlags;

use super::{
    Hold, Store,
    key::{FACTS, KEPT, RECIPE, TREE},
    layer::Facts,
};
use crate::{
    error::{Result, RunnerError, While},
    record::files,
    unpack::{Kept, RecipeReader, Root, Segment, Step, open_beneath},
};

/// Where the next bytes come from.
#[derive(Debug)]
enum Source {
    /// The recipe says.
    Next,
    Literal(u64),
    /// A file, its path for errors, bytes left.
    File(File, PathBuf, u64),
    /// Pieces of a file, the first first.
    Pieces(File, PathBuf, std::vec::IntoIter<Segment>, Segment),
    Ended,
}

/// Puts the tar together; the last read compares its digest.
pub(super) struct LayerTar {
    diff_id: Digest,
    hasher: Hasher,
    recipe: RecipeReader<File>,
    source: Source,
    tree: Root,
    kept: Vec<Kept>,
    kept_folder: PathBuf,
    objects: PathBuf,
    files: u64,
    _hold: Option<Hold>,
}

impl LayerTar {
    /// `hold` is `None` for who sweeps.
    pub(super) fn open(store: &Store, diff_id: &Digest, hold: Option<Hold>) -> Result<Self> {
        let layer = store.layer_folder(diff_id);
        let facts: Facts = files::read_json(&layer.join(FACTS))?.ok_or_else(|| {
            RunnerError::NotFound(format!("layer {diff_id} is not here: pull its image again"))
        })?;
        let recipe = layer.join(RECIPE);
        let recipe = File::open(&recipe).and_then(RecipeReader::new).doing("opening", &recipe)?;
        Ok(Self {
            diff_id: diff_id.clone(),
            hasher: Hasher::new(diff_id.algorithm().into()),
            recipe,
            source: Source::Next,
            tree: Root::open(&layer.join(TREE), facts.overlay)?,
            kept: facts.kept,
            kept_folder: layer.join(KEPT),
            objects: store.folders.objects(),
            files: 0,
            _hold: hold,
        })
    }

    fn damaged(&self, what: impl std::fmt::Display) -> io::Error {
        io::Error::other(RunnerError::Content(format!(
            "layer {} is damaged: {what}: `berth-runner check --repair` removes it, then pull its image again",
            self.diff_id
        )))
    }

    /// A file of the tree, or where it went when it was replaced.
    fn file(&mut self, path: &Path) -> io::Result<(File, PathBuf)> {
        let number = self.files;
        self.files += 1;
        let opened = match Kept::find(&self.kept, number, path) {
            Some(kept) => {
                let folder = File::open(&self.kept_folder)?;
                let opened = open_beneath(&folder, &kept, OFlags::RDONLY);
                (opened, self.kept_folder.join(kept))
            }
            None => (open_beneath(self.tree.folder(), path, OFlags::RDONLY), self.tree.shown(path)),
        };
        match opened {
            (Ok(file), path) => Ok((file.into(), path)),
            (Err(error), path) => Err(self.damaged(format_args!("opening {}: {error}", path.display()))),
        }
    }

    fn next(&mut self) -> io::Result<Source> {
        let step = self.recipe.step().map_err(|error| self.damaged(error))?;
        Ok(match step {
            Step::Literal(length) => Source::Literal(length),
            Step::File { path, length } => {
                let (file, path) = self.file(&path)?;
                Source::File(file, path, length)
            }
            Step::Pieces { path, map } => {
                let (file, path) = self.file(&path)?;
                Source::Pieces(file, path, map.into_iter(), Segment { offset: 0, length: 0 })
            }
            Step::Object { key, length } => {
                let path = self.objects.join(key.path());
                let file = File::open(&path)
                    .map_err(|error| self.damaged(format_args!("opening {}: {error}", path.display())))?;
                Source::File(file, path, length)
            }
            Step::End => {
                let found = Digest::from_hasher(self.hasher.clone());
                if found != self.diff_id {
                    return Err(self.damaged(format_args!("its tar is now {found}")));
                }
                Source::Ended
            }
        })
    }

    /// Reads of the source; 0 where it has no more.
    fn pull(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = |left: u64| usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match &mut self.source {
            Source::Next | Source::Ended => Ok(0),
            Source::Literal(left) => {
                let limit = limit(*left);
                let read = self.recipe.literal(&mut buffer[..limit]);
                let read = read.and_then(|read| match read {
                    0 if limit > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    read => Ok(read),
                });
                *left -= *read.as_ref().unwrap_or(&0) as u64;
                read.map_err(|error| self.damaged(error))
            }
            Source::File(file, path, left) => {
                let limit = limit(*left);
                let read = file.read(&mut buffer[..limit])?;
                *left -= read as u64;
                if read == 0 && limit > 0 {
                    let path = std::mem::take(path);
                    return Err(self.damaged(format_args!("{} is too short", path.display())));
                }
                Ok(read)
            }
            Source::Pieces(file, path, rest, piece) => {
                while piece.length == 0 {
                    let Some(next) = rest.next() else { return Ok(0) };
                    *piece = next;
                }
                let limit = limit(piece.length);
                let read = file.read_at(&mut buffer[..limit], piece.offset)?;
                piece.offset += read as u64;
                piece.length -= read as u64;
                if read == 0 && limit > 0 {
                    let path = std::mem::take(path);
                    return Err(self.damaged(format_args!("{} is too short", path.display())));
                }
                Ok(read)
            }
        }
    }
}

impl Read for LayerTar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.pull(buffer)?;
            if read > 0 {
                self.hasher.update(&buffer[..read]);
                return Ok(read);
            }
            if buffer.is_empty() || matches!(self.source, Source::Ended) {
                return Ok(0);
            }
            self.source = self.next()?;
        }
    }
}
