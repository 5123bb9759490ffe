//! How a layer's tar is put together again: everything of it that is no file's content, and where contents are.
//!
//! A zstd stream of steps. Contents of large files are objects, by hash; those of others are files of the tree, by
//! path; a file that a later entry of the same layer replaced lies in `kept`.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Segment;

/// A step, as it is written: its number, then its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes follow in the recipe.
    Literal(u64),
    /// A file of the tree, whole.
    File { path: PathBuf, length: u64 },
    /// Pieces of a file of the tree.
    Pieces { path: PathBuf, map: Vec<Segment> },
    /// An object.
    Object { key: ObjectKey, length: u64 },
    /// The end; so many steps named a file.
    End,
}

/// The name of an object: the SHA-256 of its content, and a hash of all that its inode has besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObjectKey {
    pub(crate) content: [u8; 32],
    pub(crate) metadata: u64,
}

impl ObjectKey {
    /// Bytes of its written form.
    pub(crate) const LENGTH: usize = 40;

    pub(crate) fn bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..32].copy_from_slice(&self.content);
        bytes[32..].copy_from_slice(&self.metadata.to_be_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8; Self::LENGTH]) -> Self {
        let (mut content, mut metadata) = ([0; 32], [0; 8]);
        content.copy_from_slice(&bytes[..32]);
        metadata.copy_from_slice(&bytes[32..]);
        Self { content, metadata: u64::from_be_bytes(metadata) }
    }
}

/// A file or folder of the tree that was replaced: what the first `before` steps that name files say of paths at or
/// under `path` is now at `kept/<number>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) before: u64,
    pub(crate) path: Vec<u8>,
    pub(crate) number: u64,
}

impl Kept {
    /// Where a file is that the step `number` names.
    pub(crate) fn find(kept: &[Self], number: u64, path: &Path) -> Option<PathBuf> {
        let one = kept.iter().find(|one| {
            one.before > number && path.starts_with(Path::new(std::ffi::OsStr::from_bytes(&one.path)))
        })?;
        let rest = path.strip_prefix(Path::new(std::ffi::OsStr::from_bytes(&one.path))).ok()?;
        let folder = PathBuf::from(one.number.to_string());
        Some(if rest.as_os_str().is_empty() { folder } else { folder.join(rest) })
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the recipe is damaged: {what}"))
}

/// Writes a recipe.
pub(crate) struct RecipeWriter<W: Write> {
    out: zstd::Encoder<'static, W>,
    literal: Vec<u8>,
    files: u64,
}

impl<W: Write> std::fmt::Debug for RecipeWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecipeWriter").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Literal bytes are gathered up to this many.
const GATHER: usize = 64 << 10;

impl<W: Write> RecipeWriter<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        Ok(Self { out: zstd::Encoder::new(out, 3)?, literal: Vec::with_capacity(GATHER), files: 0 })
    }

    /// Steps so far that name files of the tree.
    pub(crate) fn files(&self) -> u64 {
        self.files
    }

    pub(crate) fn literal(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.literal.len() + bytes.len() > GATHER {
            self.flush_literal()?;
        }
        if bytes.len() > GATHER {
            self.begin(0, bytes.len() as u64)?;
            return self.out.write_all(bytes);
        }
        self.literal.extend_from_slice(bytes);
        Ok(())
    }

    fn flush_literal(&mut self) -> io::Result<()> {
        if self.literal.is_empty() {
            return Ok(());
        }
        let literal = std::mem::take(&mut self.literal);
        self.begin(0, literal.len() as u64)?;
        self.out.write_all(&literal)?;
        self.literal = literal;
        self.literal.clear();
        Ok(())
    }

    fn begin(&mut self, step: u8, number: u64) -> io::Result<()> {
        self.out.write_all(&[step])?;
        self.out.write_all(&number.to_le_bytes())
    }

    fn path(&mut self, path: &Path) -> io::Result<()> {
        let path = path.as_os_str().as_bytes();
        let length = u16::try_from(path.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(path)
    }

    pub(crate) fn file(&mut self, path: &Path, length: u64) -> io::Result<()> {
        self.flush_literal()?;
        self.files += 1;
        self.begin(1, length)?;
        self.path(path)
    }

    pub(crate) fn pieces(&mut self, path: &Path, map: &[Segment]) -> io::Result<()> {
        self.flush_literal()?;
        self.files += 1;
        self.begin(2, map.len() as u64)?;
        for piece in map {
            self.out.write_all(&piece.offset.to_le_bytes())?;
            self.out.write_all(&piece.length.to_le_bytes())?;
        }
        self.path(path)
    }

    pub(crate) fn object(&mut self, key: &ObjectKey, length: u64) -> io::Result<()> {
        self.flush_literal()?;
        self.begin(3, length)?;
        self.out.write_all(&key.bytes())
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush_literal()?;
        let files = self.files;
        self.begin(4, files)?;
        self.out.finish()
    }
}

/// Reads one.
pub(crate) struct RecipeReader<R: Read> {
    input: zstd::Decoder<'static, io::BufReader<R>>,
}

impl<R: Read> RecipeReader<R> {
    pub(crate) fn new(input: R) -> io::Result<Self> {
        Ok(Self { input: zstd::Decoder::new(input)? })
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn path(&mut self) -> io::Result<PathBuf> {
        let mut length = [0; 2];
        self.input.read_exact(&mut length)?;
        let mut path = vec![0; u16::from_le_bytes(length).into()];
        self.input.read_exact(&mut path)?;
        Ok(OsString::from_vec(path).into())
    }

    /// The next step; a literal's bytes are then read with [`Self::literal`].
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        let mut step = [0];
        self.input.read_exact(&mut step)?;
        let number = self.number()?;
        match step[0] {
            0 => Ok(Step::Literal(number)),
            1 => Ok(Step::File { length: number, path: self.path()? }),
            2 => {
                if number > super::MAX_SEGMENTS as u64 {
                    return Err(damaged("too many pieces"));
                }
                let mut map = Vec::new();
                for _ in 0..number {
                    map.push(Segment { offset: self.number()?, length: self.number()? });
                }
                Ok(Step::Pieces { map, path: self.path()? })
            }
            3 => {
                let mut key = [0; ObjectKey::LENGTH];
                self.input.read_exact(&mut key)?;
                Ok(Step::Object { key: ObjectKey::read(&key), length: number })
            }
            4 => Ok(Step::End),
            _ => Err(damaged("an unknown step")),
        }
    }

    pub(crate) fn literal(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}
