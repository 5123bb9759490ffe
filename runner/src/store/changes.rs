//! What a container changed, and that as a layer.

use std::{
    collections::HashMap,
    ffi::CString,
    fs,
    io::Write,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use super::{
    Store,
    images::entries,
    lower::{Lower, attribute, is_opaque, is_whiteout, look},
};
use crate::{
    error::{Result, While},
    record::Desired,
    unpack::{OverlayNames, open_beneath, pack},
};

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was not there.
    Added,
    /// It was, otherwise.
    Changed,
    /// It is there no more.
    Deleted,
}

/// Attributes that belong to the image: what a layer may set.
pub(super) fn exported(path: &Path) -> Result<Vec<CString>> {
    let mut names = vec![0; 65_536];
    let length = match rustix::fs::llistxattr(path, names.as_mut_slice()) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error).doing("reading attributes of", path),
    };
    let ours = |name: &&[u8]| {
        (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")) || *name == b"security.capability"
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).filter(ours);
    let mut names: Vec<CString> = names.filter_map(|name| CString::new(name).ok()).collect();
    names.sort();
    Ok(names)
}

/// A walk over what a container wrote, and may write at this moment: folders are opened with no link on the way, and
/// what is in them is reached through them, so that nothing put in their place leads out.
struct Upper<'a> {
    upper: PathBuf,
    root: OwnedFd,
    overlay: OverlayNames,
    lower: &'a Lower,
}

/// A folder of it that is open.
struct Folder {
    fd: OwnedFd,
    /// A path that leads to it and nowhere else.
    at: PathBuf,
}

impl Upper<'_> {
    fn open<'a>(store: &Store, desired: &Desired, lower: &'a Lower) -> Result<Upper<'a>> {
        let overlay = if lower.layers.is_empty() { store.overlay()? } else { lower.overlay()? };
        let upper = store.folders.container(&desired.id).join("upper");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(CWD, &upper, flags, Mode::empty());
        // One that never ran has none.
        let root = match root {
            Err(Errno::NOENT) => openat(CWD, &store.empty()?, flags, Mode::empty()),
            root => root,
        };
        Ok(Upper { root: root.doing("opening", &upper)?, upper, overlay, lower })
    }

    /// Opens a folder; `None` where it is none any more.
    fn folder(&self, path: &Path) -> Result<Option<Folder>> {
        match open_beneath(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => Ok(Some(Folder { at: format!("/proc/self/fd/{}", fd.as_raw_fd()).into(), fd })),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
            Err(error) => Err(error).doing("opening", self.upper.join(path)),
        }
    }

    /// Opens a file in a folder; `None` where it is none any more.
    fn file(&self, folder: &Folder, inside: &Path) -> Result<Option<(fs::File, fs::Metadata)>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let name = inside.file_name().unwrap_or_default();
        let file = match openat(&folder.fd, name, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            file => fs::File::from(file.doing("opening", self.upper.join(inside))?),
        };
        let about = file.metadata().doing("looking at", self.upper.join(inside))?;
        Ok(about.is_file().then_some((file, about)))
    }

    /// Whether two files are the same but for their content.
    fn same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
        (one.mode(), one.uid(), one.gid()) == (other.mode(), other.uid(), other.gid())
    }

    fn walk(&self, path: &Path, found: &mut Vec<(Change, PathBuf)>) -> Result<()> {
        let Some(folder) = self.folder(path)? else { return Ok(()) };
        for entry in entries(&folder.at)? {
            let inside = path.join(entry.file_name().unwrap_or_default());
            let Some(now) = look(&entry)? else { continue };
            let before = self.lower.look(&inside)?;
            if is_whiteout(&now) {
                found.extend(before.map(|_| (Change::Deleted, inside)));
                continue;
            }
            let at = found.len();
            if now.is_dir() {
                self.walk(&inside, found)?;
                if is_opaque(&entry, self.overlay)? && before.as_ref().is_some_and(fs::Metadata::is_dir) {
                    for name in self.lower.names(&inside)? {
                        if look(&entry.join(&name))?.is_none() {
                            found.push((Change::Deleted, inside.join(name)));
                        }
                    }
                }
            }
            let change = match before {
                None => Change::Added,
                // A folder that was only opened.
                Some(before) if now.is_dir() && found.len() == at && Self::same(&now, &before) => continue,
                Some(_) => Change::Changed,
            };
            found.insert(at, (change, inside));
        }
        Ok(())
    }

    fn pack(&self, path: &Path, links: &mut HashMap<(u64, u64), PathBuf>, out: &mut dyn Write) -> Result<()> {
        let Some(folder) = self.folder(path)? else { return Ok(()) };
        for entry in entries(&folder.at)? {
            let inside = path.join(entry.file_name().unwrap_or_default());
            let Some(now) = look(&entry)? else { continue };
            if is_whiteout(&now) {
                if self.lower.look(&inside)?.is_some() {
                    let name = inside.file_name().unwrap_or_default().as_bytes();
                    pack::whiteout(out, &path.join(std::ffi::OsStr::from_bytes(&[b".wh.", name].concat())))?;
                }
                continue;
            }
            if now.nlink() > 1 && !now.is_dir() {
                if let Some(first) = links.get(&(now.dev(), now.ino())) {
                    pack::hard_link(out, &inside, first, &now)?;
                    continue;
                }
                links.insert((now.dev(), now.ino()), inside.clone());
            }
            let mut attributes = Vec::new();
            for name in exported(&entry)? {
                let value = attribute(&entry, &name)?.unwrap_or_default();
                attributes.push((name.to_bytes().to_vec(), value));
            }
            if now.is_file() {
                // What it is now, should it have become another.
                if let Some((content, now)) = self.file(&folder, &inside)? {
                    pack::file(out, &inside, &now, &attributes, content)?;
                }
                continue;
            }
            pack::entry(out, &inside, &now, &entry, &attributes)?;
            if now.is_dir() {
                if is_opaque(&entry, self.overlay)? && self.lower.look(&inside)?.is_some() {
                    pack::whiteout(out, &inside.join(".wh..wh..opq"))?;
                }
                self.pack(&inside, links, out)?;
            }
        }
        Ok(())
    }
}

impl Store {
    /// What a container changed of its image, folders before what is in them, sorted; paths are relative to its root.
    ///
    /// # Errors
    /// [`crate::error::RunnerError::Usage`] for a container without an image.
    pub(crate) fn changes(&self, desired: &Desired) -> Result<Vec<(Change, PathBuf)>> {
        let lower = self.lower_of(desired)?;
        let mut found = Vec::new();
        Upper::open(self, desired, &lower)?.walk(Path::new(""), &mut found)?;
        Ok(found)
    }

    /// Writes what a container changed as the tar of a layer: sorted, the same bytes for the same files.
    ///
    /// # Errors
    /// As [`Self::changes`], and where `out` does not take it.
    pub(crate) fn upper_tar(&self, desired: &Desired, out: &mut dyn Write) -> Result<()> {
        let lower = self.lower_of(desired)?;
        Upper::open(self, desired, &lower)?.pack(Path::new(""), &mut HashMap::new(), out)?;
        pack::end(out)
    }
}

impl Change {
    /// As `diff` prints it.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_container_puts_in_the_place_of_a_folder_or_file_leads_nowhere() {
        let place = tempfile::tempdir().unwrap();
        let (upper, outside) = (place.path().join("upper"), place.path().join("outside"));
        fs::create_dir_all(upper.join("real")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        fs::write(upper.join("real/file"), "own").unwrap();
        symlink(&outside, upper.join("folder")).unwrap();
        symlink(outside.join("secret"), upper.join("real/link")).unwrap();
        let lower = Lower { layers: Vec::new(), passed: None };
        let root = openat(CWD, &upper, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let upper = Upper { upper, root, overlay: OverlayNames::Trusted, lower: &lower };
        assert!(upper.folder(Path::new("folder")).unwrap().is_none());
        assert!(upper.folder(Path::new("folder/deeper")).unwrap().is_none());
        let real = upper.folder(Path::new("real")).unwrap().unwrap();
        assert!(upper.file(&real, Path::new("real/link")).unwrap().is_none());
        assert!(upper.file(&real, Path::new("real/file")).unwrap().is_some());
        assert_eq!(entries(&real.at).unwrap().len(), 2);
    }
}
