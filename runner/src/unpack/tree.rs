//! Entries → files. The tree is one that overlay takes for a lower layer.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io::Write,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, ftruncate, linkat, makedev, mkdirat, mknodat, openat, renameat,
        statat, symlinkat, unlinkat,
    },
    io::Errno,
};

use super::{
    Content, Fault, OverlayNames, Root, Segment, Times,
    attributes::{self, Born, Has},
    large::{LARGE, Large, LargeFiles},
    name::Named,
    place::{is_whiteout, open_beneath},
    recipe::{Kept, RecipeWriter},
    stream::{Entry, Kind},
};
use crate::error::{RunnerError, While};

/// Devices that an image of root's may have: those that every container has (runtime-spec, "Default Devices").
const DEVICES: [(u32, u32); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
/// Sentences about what was left out; a layer may have a million reasons.
const MAX_WARNINGS: usize = 20;

/// What became of a layer.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Bytes of its files, links counted once.
    pub(crate) size: u64,
    /// Entries.
    pub(crate) entries: u64,
    /// It hides everything under it.
    pub(crate) opaque: bool,
    /// Folders that no entry described.
    pub(crate) implied: Vec<PathBuf>,
    /// What later entries replaced.
    pub(crate) kept: Vec<Kept>,
    /// What was left out.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug)]
enum Open {
    Small {
        file: File,
        path: PathBuf,
        length: u64,
        has: Has,
    },
    Pieces {
        file: File,
        path: PathBuf,
        has: Has,
        map: Vec<Segment>,
        at: usize,
        done: u64,
    },
    Large {
        large: Box<Large>,
        path: PathBuf,
    },
    /// Nothing is written: the content stays in the recipe.
    Nothing,
}

/// A tree that is being written.
#[derive(Debug)]
pub(crate) struct Tree<W: Write> {
    root: Root,
    born: Option<Born>,
    kept: PathBuf,
    recipe: RecipeWriter<W>,
    large: LargeFiles,
    times: HashMap<PathBuf, Times>,
    open: Option<(Open, Entry)>,
    written: Written,
}

/// Errors of calls on an entry: what the name makes impossible breaks a rule, the rest is this machine's.
fn fault(doing: &str, shown: &Path, error: Errno) -> Fault {
    match error {
        Errno::NAMETOOLONG => Fault::rule("its name is longer than the system takes"),
        Errno::FBIG => Fault::rule("it is larger than this file system takes"),
        Errno::MLINK => Fault::rule("it has more hard links than this file system takes"),
        _ => Fault::Failed(RunnerError::Io {
            what: format!("{doing} {}", shown.display()),
            source: error.into(),
        }),
    }
}

impl<W: Write> Tree<W> {
    /// Fills `tree`; what is replaced goes to `kept`. Both are there, empty.
    pub(crate) fn new(
        tree: &Path,
        kept: &Path,
        overlay: OverlayNames,
        recipe: RecipeWriter<W>,
        large: LargeFiles,
    ) -> Result<Self, RunnerError> {
        let mut root = Root::open(tree, overlay)?;
        root.implied.insert(PathBuf::new());
        let born = Born::find(root.folder()).doing("making a file in", tree)?;
        Ok(Self {
            root,
            born,
            kept: kept.to_owned(),
            recipe,
            large,
            times: HashMap::new(),
            open: None,
            written: Written::default(),
        })
    }

    pub(crate) fn warnings(&self) -> &[String] {
        &self.written.warnings
    }

    /// Sets what has to be set last.
    pub(crate) fn finish(mut self) -> Result<(Written, RecipeWriter<W>, LargeFiles), Fault> {
        for (path, times) in std::mem::take(&mut self.times) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            match open_beneath(self.root.folder(), &path, flags) {
                Ok(folder) => {
                    rustix::fs::futimens(&folder, &times.stamps())
                        .map_err(|error| fault("setting the time of", &self.root.shown(&path), error))?;
                }
                // Another entry took its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(fault("opening", &self.root.shown(&path), error)),
            }
        }
        self.written.implied = std::mem::take(&mut self.root.implied).into_iter().collect();
        Ok((self.written, self.recipe, self.large))
    }

    fn warn(&mut self, text: impl FnOnce() -> String) {
        if self.written.warnings.len() < MAX_WARNINGS {
            self.written.warnings.push(text());
        }
    }

    /// Takes away what an earlier entry of this layer put at a path. Contents that the recipe names are kept.
    fn replace(&mut self, path: &Path) -> Result<(), Fault> {
        let number = self.written.kept.len() as u64;
        let place = self.root.place(path)?;
        let stat = statat(place.parent, place.name(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| fault("looking at", path, error))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return unlinkat(place.parent, place.name(), AtFlags::empty())
                .map_err(|error| fault("removing", path, error));
        }
        let to = self.kept.join(number.to_string());
        renameat(place.parent, place.name(), rustix::fs::CWD, &to)
            .map_err(|error| fault("replacing", path, error))?;
        let gone = place.path.clone();
        self.root.forget();
        self.root.implied.retain(|implied| !implied.starts_with(&gone));
        let before = self.recipe.files();
        self.written.kept.push(Kept { before, path: gone.as_os_str().as_bytes().to_vec(), number });
        Ok(())
    }

    /// Makes something at a path with `make`, in place of what may be there.
    fn try_make<T>(
        &mut self,
        path: &Path,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<rustix::io::Result<(T, PathBuf)>, Fault> {
        let place = self.root.place(path)?;
        match make(place.parent, place.name()) {
            Err(Errno::EXIST) => {
                self.replace(path)?;
                let place = self.root.place(path)?;
                Ok(make(place.parent, place.name()).map(|made| (made, place.path)))
            }
            made => Ok(made.map(|made| (made, place.path))),
        }
    }

    fn make<T>(
        &mut self,
        path: &Path,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<(T, PathBuf), Fault> {
        self.try_make(path, make)?.map_err(|error| fault("making", &self.root.shown(path), error))
    }

    fn file(&mut self, path: &Path, entry: &Entry) -> Result<(File, PathBuf, Has), Fault> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Born::mode(entry);
        let (file, real) = self.make(path, |parent, name| openat(parent, name, flags, mode))?;
        let has = Born::has(self.born, entry, self.root.place(path)?.gid);
        Ok((file.into(), real, has))
    }

    fn begin_file(
        &mut self,
        path: &Path,
        entry: Entry,
        size: u64,
        map: Option<Vec<Segment>>,
    ) -> Result<(), Fault> {
        self.written.size += size;
        let open = match map {
            Some(map) => {
                let (file, path, has) = self.file(path, &entry)?;
                ftruncate(&file, size).map_err(|error| fault("making", &self.root.shown(&path), error))?;
                Open::Pieces { file, path, has, map, at: 0, done: 0 }
            }
            None if size >= LARGE => {
                Open::Large { large: Box::new(self.large.begin(&entry)?), path: path.to_owned() }
            }
            None => {
                let (file, path, has) = self.file(path, &entry)?;
                Open::Small { file, path, length: size, has }
            }
        };
        self.open = Some((open, entry));
        Ok(())
    }

    fn folder(&mut self, path: &Path, entry: &Entry) -> Result<(), Fault> {
        let place = self.root.place(path)?;
        let real = place.path.clone();
        let mut hides = false;
        match mkdirat(place.parent, place.name(), Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = statat(place.parent, place.name(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| fault("looking at", path, error))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    hides = is_whiteout(&stat);
                    self.replace(path)?;
                    let place = self.root.place(path)?;
                    mkdirat(place.parent, place.name(), Mode::from_raw_mode(0o700))
                        .map_err(|error| fault("making", path, error))?;
                }
            }
            Err(error) => return Err(fault("making", &self.root.shown(path), error)),
        }
        let opened = self.open_folder(&real)?;
        if hides {
            self.root.hide_below(&opened, &real)?;
        }
        self.root.implied.remove(&real);
        self.described(&opened, real, entry)
    }

    fn open_folder(&self, path: &Path) -> Result<OwnedFd, Fault> {
        open_beneath(self.root.folder(), path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|error| fault("opening", &self.root.shown(path), error))
    }

    fn described(&mut self, opened: &OwnedFd, path: PathBuf, entry: &Entry) -> Result<(), Fault> {
        attributes::set(opened, entry, Has::default(), &path, false, &mut self.written.warnings)?;
        self.root.forget_parent(&path);
        self.times.insert(path, entry.times);
        Ok(())
    }

    fn whiteout(&mut self, path: &Path) -> Result<(), Fault> {
        let place = self.root.place(path)?;
        let made =
            mknodat(place.parent, place.name(), FileType::CharacterDevice, Mode::empty(), makedev(0, 0));
        match made {
            Ok(()) => Ok(()),
            // A whiteout hides what lower layers have; what this one has stays, but nothing shines through it.
            Err(Errno::EXIST) => {
                let stat = statat(place.parent, place.name(), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| fault("looking at", path, error))?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    let real = place.path.clone();
                    return self.root.hide_below(&self.open_folder(&real)?, &real);
                }
                Ok(())
            }
            Err(error) => Err(fault("making the whiteout of", &self.root.shown(path), error)),
        }
    }

    fn opaque(&mut self, path: &Path) -> Result<(), Fault> {
        if path.as_os_str().is_empty() {
            self.written.opaque = true;
            return Ok(());
        }
        // Where an entry of it would be: the folder is made if nothing described it.
        let inside = self.root.place(&path.join("entry"))?.path;
        let real = inside.parent().unwrap_or(Path::new("")).to_owned();
        self.root.hide_below(&self.open_folder(&real)?, &real)
    }

    fn hard_link(&mut self, path: &Path, target: &Path) -> Result<(), Fault> {
        let rule = |text: &str| Fault::rule(format!("it is a hard link to {}, {text}", target.display()));
        let (from, name) = {
            let place = self.root.place(target)?;
            let stat = match statat(place.parent, place.name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Err(rule("which no entry before it in this layer made")),
                Err(error) => return Err(fault("looking at", target, error)),
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Err(rule("which is a folder"));
            }
            if is_whiteout(&stat) {
                return Err(rule("which is a whiteout"));
            }
            let parent = place.parent.try_clone_to_owned().doing("opening", target)?;
            (parent, place.path)
        };
        if self.root.place(path)?.path == name {
            return Ok(());
        }
        // Never followed: a link to a symbolic link is one more name of that.
        let last = name.file_name().unwrap_or_default().to_owned();
        self.make(path, |parent, to| linkat(&from, &last, parent, to, AtFlags::empty())).map(drop)
    }

    fn special(&mut self, path: &Path, entry: &Entry) -> Result<(), Fault> {
        let mode = Mode::from_raw_mode(0o600);
        let (real, has_mode) = match &entry.kind {
            Kind::Symlink(target) => {
                (self.make(path, |parent, name| symlinkat(target, parent, name))?.1, false)
            }
            Kind::Fifo => {
                (self.make(path, |parent, name| mknodat(parent, name, FileType::Fifo, mode, 0))?.1, true)
            }
            Kind::Device(blocks, major, minor) => {
                let (major, minor) = (*major, *minor);
                if *blocks || !DEVICES.contains(&(major, minor)) {
                    self.warn(|| {
                        let kind = if *blocks { "block" } else { "character" };
                        format!("{}: the {kind} device {major}:{minor} was left out", path.display())
                    });
                    return Ok(());
                }
                let made = self.try_make(path, |parent, name| {
                    mknodat(parent, name, FileType::CharacterDevice, mode, makedev(major, minor))
                })?;
                match made {
                    Ok(((), real)) => (real, true),
                    Err(Errno::PERM) => {
                        self.warn(|| {
                            format!(
                                "{}: the character device {major}:{minor} was left out: only root makes devices",
                                path.display()
                            )
                        });
                        return Ok(());
                    }
                    Err(error) => return Err(fault("making", &self.root.shown(path), error)),
                }
            }
            Kind::Folder | Kind::HardLink(_) | Kind::File { .. } => return Ok(()),
        };
        let place = self.root.place(&real)?;
        attributes::set_unopened(place.parent, place.name(), entry, &real, has_mode)
    }

    /// The file of a large one in the tree: a link to the object.
    fn large(&mut self, path: &Path, large: Large, entry: &Entry, length: u64) -> Result<(), Fault> {
        let path = self.root.place(path)?.path;
        let (key, at) = self.large.finish(large, entry, &path, &mut self.written.warnings)?;
        self.recipe.object(&key, length).doing("writing the recipe of", &path)?;
        self.make(&path, |parent, name| linkat(rustix::fs::CWD, &at, parent, name, AtFlags::empty()))
            .map(drop)
    }
}

impl<W: Write> Content for Tree<W> {
    fn literal(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        Ok(self.recipe.literal(bytes).doing("writing", "a layer's recipe")?)
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Fault> {
        self.written.entries += 1;
        let file = match &entry.kind {
            Kind::File { size, map, .. } => Some((*size, map.clone())),
            _ => None,
        };
        match (entry.named.clone(), file) {
            (Named::Entry(path), Some((size, map))) => return self.begin_file(&path, entry, size, map),
            (Named::Entry(path), None) => match &entry.kind {
                Kind::Folder => self.folder(&path, &entry)?,
                Kind::HardLink(target) => self.hard_link(&path, target)?,
                _ => self.special(&path, &entry)?,
            },
            (Named::Root, None) if entry.kind == Kind::Folder => {
                let opened = self.open_folder(Path::new(""))?;
                self.root.implied.remove(Path::new(""));
                self.described(&opened, PathBuf::new(), &entry)?;
            }
            (Named::Root, _) => return Err(Fault::rule("the root of a layer can only be a folder")),
            (Named::Whiteout(path), _) => self.whiteout(&path)?,
            (Named::Opaque(path), _) => self.opaque(&path)?,
            (Named::Ignored, _) => {}
        }
        if matches!(entry.kind, Kind::File { .. }) {
            self.open = Some((Open::Nothing, entry));
        }
        Ok(())
    }

    fn content(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        match &mut self.open {
            Some((Open::Small { file, path, .. }, _)) => Ok(file.write_all(bytes).doing("writing", path)?),
            Some((Open::Large { large, .. }, _)) => Ok(large.write(bytes)?),
            Some((Open::Pieces { file, path, map, at, done, .. }, _)) => {
                while let (false, Some(piece)) = (bytes.is_empty(), map.get(*at)) {
                    let left = usize::try_from(piece.length - *done).unwrap_or(usize::MAX);
                    let (now, rest) = bytes.split_at(left.min(bytes.len()));
                    file.write_all_at(now, piece.offset + *done).doing("writing", &path)?;
                    *done += now.len() as u64;
                    if *done == piece.length {
                        (*at, *done) = (*at + 1, 0);
                    }
                    bytes = rest;
                }
                Ok(())
            }
            Some((Open::Nothing, _)) | None => self.literal(bytes),
        }
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some((open, entry)) = self.open.take() else { return Ok(()) };
        match open {
            Open::Small { file, path, length, has } => {
                if length > 0 {
                    self.recipe.file(&path, length).doing("writing the recipe of", &path)?;
                }
                attributes::set(&file, &entry, has, &path, true, &mut self.written.warnings)
            }
            Open::Pieces { file, path, has, map, .. } => {
                self.recipe.pieces(&path, &map).doing("writing the recipe of", &path)?;
                attributes::set(&file, &entry, has, &path, true, &mut self.written.warnings)
            }
            Open::Large { large, path } => {
                let Kind::File { size, .. } = entry.kind else { return Ok(()) };
                self.large(&path, *large, &entry, size)
            }
            Open::Nothing => Ok(()),
        }
    }
}
