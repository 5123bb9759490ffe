//! Large files, stored once across all layers.
//!
//! A large file of a layer is a hard link to an object. Owner, mode, times and attributes lie in the inode, so an object
//! is shared by files that have them all alike, and the same path: two paths of one image are never one inode, which
//! programs would take for one file. Overlay's redirects to data-only layers would share contents alone, but the kernel
//! follows them out of any but the lowest layer only with `metacopy=on`, which mounts of users may not have.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use berth_hash::{Hasher, Kind};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    Fault,
    attributes::{self, Born, Has},
    recipe::ObjectKey,
    stream::Entry,
};
use crate::error::{Result, While};

/// Files of so many bytes and more are objects: a block, below which a link saves nothing. Of a Debian base that is
/// half of the files and 97 % of the bytes.
pub(crate) const LARGE: u64 = 4 << 10;
/// Layers that share one object, with room for those that come at the same time.
const MAX_LINKS: u64 = 60_000;

impl ObjectKey {
    /// Its path among the objects.
    pub(crate) fn path(&self) -> PathBuf {
        use std::fmt::Write as _;
        let mut name = String::with_capacity(82);
        for byte in &self.content {
            let _infallible = write!(name, "{byte:02x}");
        }
        let _infallible = write!(name, "-{:016x}", self.metadata);
        name.insert(2, '/');
        name.into()
    }

    /// The key of a path as [`Self::path`] gives it.
    pub(crate) fn of_path(folder: &str, name: &str) -> Option<Self> {
        let (rest, metadata) = name.split_once('-').filter(|(_, metadata)| metadata.len() == 16)?;
        let metadata = u64::from_str_radix(metadata, 16).ok()?;
        let hex = format!("{folder}{rest}");
        if folder.len() != 2 || hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut content = [0; 32];
        for (at, byte) in content.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        let key = Self { content, metadata };
        (key.path() == Path::new(folder).join(name)).then_some(key)
    }
}

/// Where objects go: into the layer's staging until everything is on disk, then among the others.
#[derive(Debug)]
pub(crate) struct LargeFiles {
    objects: PathBuf,
    staging: PathBuf,
    /// Objects that the layer uses; where in the staging, if it brings it.
    keys: BTreeMap<ObjectKey, Option<PathBuf>>,
    /// Files begun.
    begun: u64,
    /// What files of the staging are like, and the group of that; found out with the first.
    born: Option<(Option<Born>, u32)>,
}

/// A large file that is being written.
#[derive(Debug)]
pub(super) struct Large {
    file: File,
    path: PathBuf,
    hasher: Hasher,
    length: u64,
    has: Has,
}

impl Large {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        self.file.write_all(bytes).doing("writing", &self.path)
    }
}

impl LargeFiles {
    /// `objects` is the store's folder of them, `staging` one of the layer's own.
    pub(crate) fn new(objects: &Path, staging: &Path) -> Self {
        Self {
            objects: objects.to_owned(),
            staging: staging.to_owned(),
            keys: BTreeMap::new(),
            begun: 0,
            born: None,
        }
    }

    pub(super) fn begin(&mut self, entry: &Entry) -> Result<Large> {
        let (born, gid) = match self.born {
            Some(born) => born,
            None => {
                let folder = File::open(&self.staging).doing("opening", &self.staging)?;
                let born = Born::find(&folder).doing("making a file in", &self.staging)?;
                let gid = folder.metadata().doing("looking at", &self.staging)?.gid();
                *self.born.insert((born, gid))
            }
        };
        let path = self.staging.join(self.begun.to_string());
        self.begun += 1;
        let mode = Born::mode(entry).as_raw_mode();
        let file =
            File::options().write(true).create_new(true).mode(mode).open(&path).doing("making", &path)?;
        let has = Born::has(born, entry, gid);
        Ok(Large { file, path, hasher: Hasher::new(Kind::Sha256), length: 0, has })
    }

    /// Names the object by its hash, and says where it is now. Content that is there already is written no second time.
    pub(super) fn finish(
        &mut self,
        large: Large,
        entry: &Entry,
        path_in_layer: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<(ObjectKey, PathBuf), Fault> {
        let Large { file, path, hasher, length, has } = large;
        let mut content = [0; 32];
        content.copy_from_slice(&hasher.finish());
        attributes::set(&file, entry, has, path_in_layer, true, warnings)?;
        let mut key = ObjectKey { content, metadata: metadata(entry, path_in_layer)? };
        let remove = || fs::remove_file(&path).doing("removing", &path);
        if let Some(Some(staged)) = self.keys.get(&key) {
            remove()?;
            return Ok((key, staged.clone()));
        }
        loop {
            let there = self.objects.join(key.path());
            match fs::symlink_metadata(&there) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.keys.insert(key, Some(path.clone()));
                    return Ok((key, path));
                }
                Err(error) => return Err(error).doing("looking at", &there).map_err(Fault::from),
                Ok(found) if found.nlink() >= MAX_LINKS => {
                    key.metadata = key.metadata.wrapping_add(1).max(1);
                }
                Ok(found) if found.len() == length => {
                    remove()?;
                    self.keys.insert(key, None);
                    return Ok((key, there));
                }
                // It is damaged: this one takes its place.
                Ok(_) => fs::remove_file(&there).doing("removing", &there)?,
            }
        }
    }

    /// The objects that the layer uses.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.keys.keys()
    }

    /// Moves what is new among the objects, once it is on disk.
    pub(crate) fn publish(self) -> Result<()> {
        for (key, staged) in &self.keys {
            let Some(staged) = staged else { continue };
            let there = self.objects.join(key.path());
            let folder = there.parent().unwrap_or(&self.objects);
            let rename = || renameat_with(CWD, staged, CWD, &there, RenameFlags::NOREPLACE);
            let mut moved = rename();
            if moved == Err(rustix::io::Errno::NOENT) {
                fs::create_dir_all(folder).doing("making", folder)?;
                moved = rename();
            }
            match moved {
                // Another layer was faster: what it has is the same.
                Err(rustix::io::Errno::EXIST) => fs::remove_file(staged).doing("removing", staged)?,
                moved => moved.doing("making", &there)?,
            }
        }
        Ok(())
    }
}

/// What tells apart files of the same content that cannot be one inode; never 0.
fn metadata(entry: &Entry, path: &Path) -> Result<u64, Fault> {
    let mut hasher = Hasher::new(Kind::Sha256);
    for id in [entry.uid, entry.gid, entry.mode, entry.times.nanoseconds] {
        hasher.update(&id.to_be_bytes());
    }
    hasher.update(&entry.times.seconds.to_be_bytes());
    let path = path.as_os_str().as_bytes();
    hasher.update(&(path.len() as u64).to_be_bytes());
    hasher.update(path);
    let mut xattrs = attributes::allowed(&entry.xattrs)?;
    xattrs.sort();
    for (name, value) in &xattrs {
        for part in [name.as_bytes(), value] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finish()[..8]);
    Ok(u64::from_be_bytes(first).max(1))
}
