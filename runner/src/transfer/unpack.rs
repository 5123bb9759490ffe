//! From a tar to files. Parents are reached by names alone; what is in the way of a file is removed, never written
//! through.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chmodat, chownat, fchmod, fchown,
        futimens, linkat, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
    process::umask,
};

use super::{
    attributes,
    place::{Named, Place, file, folder_below, names},
};
use crate::{
    error::{Result, RunnerError, While},
    record::remove_tree,
};

/// What becomes of the tar's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The tar's first entry is put where the path says, by the rules of `docker cp`.
    Copy,
    /// The same, and a folder may become something else, or something else a folder.
    Replace,
    /// Everything goes into the folder, as it is named in the tar.
    Into,
}

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    /// As the tar says.
    Kept,
    /// The container's user's; outside, the caller's.
    Caller,
    /// This user's and group's.
    These(u32, u32),
}

impl Target {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Replace => "replace",
            Self::Into => "into",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Copy, Self::Replace, Self::Into].into_iter().find(|target| target.word() == word)
    }
}

impl Owners {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Caller | Self::These(..) => "caller",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Kept, Self::Caller].into_iter().find(|owners| owners.word() == word)
    }
}

/// Where entries go.
struct Landing {
    folder: OwnedFd,
    /// What is done to each entry's path.
    names: Names,
    owners: Owners,
    /// A folder that is in the way of something else goes.
    replaces: bool,
}

/// What becomes of an entry's path.
enum Names {
    /// It stays.
    Kept,
    /// The first name becomes this.
    Renamed(OsString),
    /// The tar begins at `.`, whose place this takes; without one it is the folder itself.
    Under(Option<OsString>),
}

/// Puts a tar's files at a path.
///
/// # Errors
/// [`RunnerError::Content`] for names that lead out; [`RunnerError::NotFound`] for a destination whose folder is not
/// there; where it cannot be written.
pub(crate) fn unpack(
    place: &Place,
    text: &str,
    target: Target,
    owners: Owners,
    from: impl Read,
) -> Result<()> {
    let mut tar = tar::Archive::new(from);
    let broken = |error: io::Error| RunnerError::Content(format!("reading the tar: {error}"));
    let mut into: Option<Landing> = None;
    let mut folders = Vec::new();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let place = match &into {
            Some(into) => into,
            None => {
                let is_folder = entry.header().entry_type().is_dir();
                into.insert(Landing::of(place, text, target, owners, &path, is_folder)?)
            }
        };
        if let Some(folder) = place.entry(&path, &mut entry)? {
            folders.push(folder);
        }
    }
    let Some(into) = into else { return Ok(()) };
    // Times change while something is made in a folder: the innermost last made are settled first.
    for (path, mtime) in folders.into_iter().rev() {
        let folder = folder_below(&into.folder, &path)?;
        futimens(&folder, &times(mtime)).doing("writing", &path)?;
    }
    Ok(())
}

impl Landing {
    fn of(
        place: &Place,
        text: &str,
        target: Target,
        owners: Owners,
        first: &Path,
        is_folder: bool,
    ) -> Result<Self> {
        let named = Named::of(text);
        let existing = place.at(&named.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let replaces = target == Target::Replace;
        let into = |folder, names| Self { folder, names, owners, replaces };
        if target == Target::Into {
            let folder = existing.ok_or_else(|| {
                RunnerError::NotFound(format!("{text}: no such folder, and a tar goes into one"))
            })?;
            return Ok(into(folder, Names::Kept));
        }
        let name = first.file_name().map(OsString::from);
        let contents = name.is_none();
        if let Some(folder) = existing {
            return Ok(into(folder, name.map_or(Names::Under(None), Names::Renamed)));
        }
        // Something else than a folder is there, or nothing.
        let there = place.at(&named.path, OFlags::PATH)?.is_some();
        if there && is_folder && !replaces {
            return Err(RunnerError::Usage(format!(
                "{text} is a file, and a folder cannot become one: --overwrite replaces it"
            )));
        }
        if named.folder && (there || !is_folder) {
            return Err(RunnerError::NotFound(format!("{text}: no such folder")));
        }
        let parent = named.path.parent().unwrap_or(Path::new("/"));
        let folder = place.at(parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let folder =
            folder.ok_or_else(|| RunnerError::NotFound(format!("{}: no such folder", parent.display())))?;
        let name = named.name().map(OsString::from);
        Ok(into(
            folder,
            match name {
                Some(name) if !contents => Names::Renamed(name),
                name => Names::Under(name),
            },
        ))
    }

    /// An entry's path below the folder.
    fn path(&self, entry: &Path) -> Result<PathBuf> {
        let names = names(entry)?;
        Ok(match &self.names {
            Names::Kept => names.into_iter().collect(),
            Names::Renamed(top) => std::iter::once(top.clone()).chain(names.into_iter().skip(1)).collect(),
            Names::Under(top) => top.iter().cloned().chain(names).collect(),
        })
    }

    /// Makes one entry; a folder is answered with its time.
    fn entry(&self, path: &Path, entry: &mut tar::Entry<'_, impl Read>) -> Result<Option<(PathBuf, u64)>> {
        let path = self.path(path)?;
        let Some(name) = path.file_name() else { return Ok(None) };
        let parent = folder_below(&self.folder, path.parent().unwrap_or(Path::new("")))?;
        let broken =
            |error: io::Error| RunnerError::Content(format!("reading the tar: {}: {error}", path.display()));
        let head = entry.header();
        let mode = Mode::from_raw_mode(head.mode().map_err(broken)? & 0o7777);
        let mtime = head.mtime().map_err(broken)?;
        let kind = head.entry_type();
        let (uid, gid) = self.owner(head).map_err(broken)?;
        let gone = |is_folder: bool| match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).doing("asking", &path),
            Ok(about) if FileType::from_raw_mode(about.st_mode) == FileType::Directory => {
                if is_folder {
                    return Ok(true);
                }
                if self.replaces {
                    // Named by the descriptor of its folder, which is held: no link on the way.
                    let tree = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name);
                    return remove_tree(&tree).doing("removing", &path).map(|()| false);
                }
                Err(RunnerError::Conflict(format!(
                    "{} is a folder, and a file should become it: --overwrite replaces it",
                    path.display()
                )))
            }
            Ok(_) => unlinkat(&parent, name, AtFlags::empty()).doing("removing", &path).map(|()| false),
        };
        let owned = || {
            chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .doing("giving away", &path)
        };
        match kind {
            tar::EntryType::Directory => {
                if !gone(true)? {
                    mkdirat(&parent, name, Mode::RWXU).doing("making", &path)?;
                    owned()?;
                    let made = folder_below(&parent, Path::new(name))?;
                    attributes::unpack(entry, self.owners, &made, &path)?;
                    // A folder that was just made by us in a folder that is held: no link.
                    chmodat(&parent, name, mode, AtFlags::empty()).doing("writing", &path)?;
                }
                return Ok(Some((path.clone(), mtime)));
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                gone(false)?;
                let out = match content(entry, &parent, name, kind) {
                    Ok(out) => out,
                    Err(error) => {
                        // Half of a file is none; the first error is the one to tell.
                        let _gone = unlinkat(&parent, name, AtFlags::empty());
                        return Err(error).doing("writing", &path);
                    }
                };
                fchown(&out, Some(uid), Some(gid)).doing("giving away", &path)?;
                attributes::unpack(entry, self.owners, &out, &path)?;
                // After the owner, which takes setuid away.
                fchmod(&out, mode).doing("writing", &path)?;
                futimens(&out, &times(mtime)).doing("writing", &path)?;
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name().map_err(broken)?.unwrap_or_default().into_owned();
                gone(false)?;
                symlinkat(&target, &parent, name).doing("making", &path)?;
                owned()?;
                utimensat(&parent, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW).doing("writing", &path)?;
            }
            tar::EntryType::Link => {
                let target = self.path(&entry.link_name().map_err(broken)?.unwrap_or_default())?;
                let from = folder_below(&self.folder, target.parent().unwrap_or(Path::new("")))?;
                let old = target.file_name().unwrap_or_default().to_owned();
                gone(false)?;
                linkat(&from, old, &parent, name, AtFlags::empty()).doing("making", &path)?;
            }
            tar::EntryType::Fifo => {
                gone(false)?;
                mknodat(&parent, name, FileType::Fifo, mode, 0).doing("making", &path)?;
                owned()?;
            }
            // Devices are not copied; what stands for no file is not one.
            _ => {}
        }
        Ok(None)
    }

    fn owner(&self, head: &tar::Header) -> io::Result<(Uid, Gid)> {
        let id = |id: u64| u32::try_from(id).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
        Ok(match self.owners {
            Owners::Kept => (Uid::from_raw(id(head.uid()?)?), Gid::from_raw(id(head.gid()?)?)),
            Owners::Caller => (rustix::process::geteuid(), rustix::process::getegid()),
            Owners::These(uid, gid) => (Uid::from_raw(uid), Gid::from_raw(gid)),
        })
    }
}

/// Makes a file with an entry's bytes, and with its holes.
fn content(
    entry: &mut tar::Entry<'_, impl Read>,
    parent: &OwnedFd,
    name: &OsStr,
    kind: tar::EntryType,
) -> io::Result<File> {
    if kind != tar::EntryType::GNUSparse {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut out = file(openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
        let size = entry.size();
        if io::copy(entry, &mut out)? != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the tar ends in the middle of it"));
        }
        return Ok(out);
    }
    // Only this way of the library's leaves holes out. The folder is named by its descriptor, and a file that is there
    // is never opened; what it is like is settled afterwards.
    entry.set_preserve_permissions(false);
    entry.set_preserve_mtime(false);
    entry.set_unpack_xattrs(false);
    let place = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name);
    let before = umask(Mode::RWXG | Mode::RWXO);
    let unpacked = entry.unpack(place);
    umask(before);
    match unpacked? {
        tar::Unpacked::File(out) => Ok(out),
        _ => Err(io::Error::other("a file with holes became something else")),
    }
}

fn times(mtime: u64) -> Timestamps {
    let at = Timespec { tv_sec: i64::try_from(mtime).unwrap_or_default(), tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::{
        super::pack::{Packed, pack},
        *,
    };

    fn place(folder: &Path) -> Place {
        Place::open(folder).unwrap()
    }

    /// Copies a path of one root to a path of another.
    fn copied(from: &Path, source: &str, to: &Path, target: &str) -> Result<()> {
        let mut tar = Vec::new();
        pack(&place(from), source, false, Packed::Named, &mut tar)?;
        unpack(&place(to), target, Target::Copy, Owners::Caller, tar.as_slice())
    }

    /// Copies so that a folder may become something else, and the other way round.
    fn replaced(from: &Path, source: &str, to: &Path, target: &str) -> Result<()> {
        let mut tar = Vec::new();
        pack(&place(from), source, false, Packed::Named, &mut tar)?;
        unpack(&place(to), target, Target::Replace, Owners::Caller, tar.as_slice())
    }

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("src/sub")).unwrap();
        std::fs::write(folder.path().join("src/file"), "one").unwrap();
        std::fs::write(folder.path().join("src/sub/two"), "two").unwrap();
        symlink("file", folder.path().join("src/link")).unwrap();
        folder
    }

    #[test]
    fn a_file_goes_to_a_name_into_a_folder_and_over_a_file() {
        let (from, to) = (tree(), tempfile::tempdir().unwrap());
        let root = to.path();
        std::fs::create_dir(root.join("dir")).unwrap();
        copied(from.path(), "/src/file", root, "/name").unwrap();
        copied(from.path(), "/src/file", root, "/dir").unwrap();
        copied(from.path(), "/src/sub/two", root, "/name").unwrap();
        assert_eq!(std::fs::read_to_string(root.join("name")).unwrap(), "two");
        assert_eq!(std::fs::read_to_string(root.join("dir/file")).unwrap(), "one");
        assert!(matches!(copied(from.path(), "/src/file", root, "/none/"), Err(RunnerError::NotFound(_))));
        assert!(matches!(copied(from.path(), "/src/file", root, "/none/x"), Err(RunnerError::NotFound(_))));
        assert!(matches!(copied(from.path(), "/nothing", root, "/x"), Err(RunnerError::NotFound(_))));
    }

    #[test]
    fn a_folder_becomes_the_name_or_goes_into_the_folder_that_is_there() {
        let (from, to) = (tree(), tempfile::tempdir().unwrap());
        let root = to.path();
        copied(from.path(), "/src", root, "/new").unwrap();
        assert_eq!(std::fs::read_to_string(root.join("new/sub/two")).unwrap(), "two");
        assert_eq!(std::fs::read_link(root.join("new/link")).unwrap(), Path::new("file"));
        copied(from.path(), "/src", root, "/new").unwrap();
        assert!(root.join("new/src/file").exists());
        copied(from.path(), "/src/.", root, "/new/sub").unwrap();
        assert!(root.join("new/sub/file").exists() && !root.join("new/sub/src").exists());
        copied(from.path(), "/src/sub/", root, "/other/").unwrap();
        assert!(root.join("other/two").exists());
        let error = copied(from.path(), "/src", root, "/new/file").unwrap_err();
        assert!(matches!(error, RunnerError::Usage(_)), "{error}");
    }

    #[test]
    fn a_folder_becomes_a_file_and_a_file_a_folder_where_that_is_asked_for() {
        let (from, to) = (tree(), tempfile::tempdir().unwrap());
        let root = to.path();
        std::fs::create_dir_all(root.join("dir/file/deep")).unwrap();
        std::fs::write(root.join("dir/file/deep/old"), "old").unwrap();
        std::fs::write(root.join("name"), "old").unwrap();
        let error = copied(from.path(), "/src/file", root, "/dir").unwrap_err();
        assert!(error.to_string().contains("--overwrite"), "{error}");
        let error = copied(from.path(), "/src", root, "/name").unwrap_err();
        assert!(error.to_string().contains("--overwrite"), "{error}");
        assert!(root.join("dir/file/deep/old").exists(), "what is refused removes nothing");
        replaced(from.path(), "/src/file", root, "/dir").unwrap();
        assert_eq!(std::fs::read_to_string(root.join("dir/file")).unwrap(), "one");
        replaced(from.path(), "/src", root, "/name").unwrap();
        assert_eq!(std::fs::read_to_string(root.join("name/sub/two")).unwrap(), "two");
        replaced(from.path(), "/src/.", root, "/name/file").unwrap();
        assert_eq!(std::fs::read_to_string(root.join("name/file/sub/two")).unwrap(), "two");
    }

    #[test]
    fn links_of_a_root_end_in_it() {
        let (from, to, outside) = (tree(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = to.path();
        std::fs::create_dir_all(root.join("etc")).unwrap();
        // Absolute, and as many steps up as there may be: both end in the root.
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../../../../../../../../etc", root.join("upwards")).unwrap();
        symlink(outside.path(), root.join("outside")).unwrap();
        copied(from.path(), "/src/file", root, "/absolute/a").unwrap();
        copied(from.path(), "/src/file", root, "/upwards/b").unwrap();
        assert!(root.join("etc/a").exists() && root.join("etc/b").exists());
        assert!(copied(from.path(), "/src/file", root, "/outside/c").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_written_through_a_link_that_the_tar_or_the_container_made() {
        let (to, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_mtime(0);
        tar.append_link(&mut header.clone(), "d", outside.path()).unwrap();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(1);
        tar.append_data(&mut header.clone(), "d/file", &b"x"[..]).unwrap();
        let hostile = tar.into_inner().unwrap();
        let result = unpack(&place(to.path()), "/", Target::Into, Owners::Caller, hostile.as_slice());
        assert!(matches!(result, Err(RunnerError::Content(_))), "{result:?}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);

        // A link in the place of the file is replaced.
        std::fs::write(outside.path().join("target"), "safe").unwrap();
        std::fs::create_dir(to.path().join("dir")).unwrap();
        symlink(outside.path().join("target"), to.path().join("dir/file")).unwrap();
        copied(tree().path(), "/src/file", to.path(), "/dir/").unwrap();
        assert_eq!(std::fs::read_to_string(outside.path().join("target")).unwrap(), "safe");
        assert!(to.path().join("dir/file").symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn modes_and_times_are_kept() {
        let (from, to) = (tree(), tempfile::tempdir().unwrap());
        let path = from.path().join("src/file");
        let set = rustix::fs::chmod(&path, Mode::from_raw_mode(0o4750));
        set.unwrap();
        utimensat(rustix::fs::CWD, &path, &times(1_000_000_000), AtFlags::empty()).unwrap();
        copied(from.path(), "/src", to.path(), "/x").unwrap();
        let about = std::fs::metadata(to.path().join("x/file")).unwrap();
        assert_eq!((about.mode() & 0o7777, about.mtime()), (0o4750, 1_000_000_000));
    }
}
