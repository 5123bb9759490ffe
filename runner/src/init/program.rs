//! The program's file for containers: a copy in the store and not the one that runs on the machine, which a container
//! never sees. Where it was linked with shared libraries, those that this process has loaded lie beside it, and its loader
//! is told to take them and none of the image's.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::ARGUMENT;
use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{files, remove_tree},
};

/// The folder that a container sees, and how it is started there.
#[derive(Debug)]
pub(crate) struct Program {
    /// The folder in the store.
    pub(crate) folder: PathBuf,
    /// The file name of its loader, where it has one.
    loader: Option<String>,
}

impl Program {
    /// What stands before the command of a container that has the folder at `at`.
    pub(crate) fn words(&self, at: &str) -> Vec<String> {
        let own = format!("{at}/init");
        let mut words = match &self.loader {
            None => vec![own],
            Some(loader) => vec![format!("{at}/{loader}"), "--library-path".into(), at.into(), own],
        };
        words.extend([ARGUMENT, "--"].map(str::to_owned));
        words
    }

    /// The one of the program that runs now: copied once per version of it.
    ///
    /// # Errors
    /// [`RunnerError::Unsupported`] where its loader is none that is known; where the store cannot be written.
    pub(crate) fn ready(folders: &Folders) -> Result<Self> {
        let libraries =
            libraries(&fs::read_to_string("/proc/self/maps").doing("reading", "/proc/self/maps")?);
        let loader = loader(&libraries)?;
        let own = Path::new("/proc/self/exe");
        let about = fs::metadata(own).doing("asking", own)?;
        let parent = folders.store.join("init");
        let name = format!("{}-{}-{}", env!("CARGO_PKG_VERSION"), about.len(), about.mtime_nsec());
        let made = Self { folder: parent.join(&name), loader };
        if made.folder.exists() {
            return Ok(made);
        }
        let _lock = files::lock(&parent)?;
        let making =
            tempfile::Builder::new().prefix(".new-").tempdir_in(&parent).doing("writing into", &parent)?;
        copy(own, &making.path().join("init"))?;
        for library in &libraries {
            for name in names(library)? {
                let at = making.path().join(name);
                if library.file_name() == at.file_name() {
                    copy(library, &at)?;
                } else {
                    symlink(library.file_name().unwrap_or_default(), &at).doing("making", &at)?;
                }
            }
        }
        mode(making.path(), 0o755)?;
        // Somebody else may have made it while this one waited.
        if !made.folder.exists() {
            fs::rename(making.path(), &made.folder).doing("making", &made.folder)?;
            let _moved = making.keep();
        }
        // Copies of other versions go; containers that run keep what is mounted into them.
        for entry in fs::read_dir(&parent).doing("reading", &parent)? {
            let entry = entry.doing("reading", &parent)?;
            if entry.file_name() != *name && entry.file_name() != "lock" {
                remove_tree(&entry.path()).doing("removing", entry.path())?;
            }
        }
        Ok(made)
    }
}

/// The files with machine code that a process has loaded besides its program, by its map.
fn libraries(maps: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..]))) {
        let is_library = path.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name.ends_with(".so") || name.contains(".so.")
        });
        if is_library && !found.iter().any(|known| known == path) {
            found.push(path.to_owned());
        }
    }
    found
}

/// Which of them loads the others: `ld-linux-x86-64.so.2`, `ld-2.31.so`, `ld-musl-x86_64.so.1`.
fn loader(libraries: &[PathBuf]) -> Result<Option<String>> {
    let names = libraries.iter().filter_map(|path| path.file_name()?.to_str());
    let found = names
        .clone()
        .find(|name| name.starts_with("ld-") || name.starts_with("ld64") || name.starts_with("ld."));
    match (found, libraries.first()) {
        (Some(name), _) => Ok(Some(name.to_owned())),
        (None, None) => Ok(None),
        (None, Some(library)) => Err(RunnerError::Unsupported(format!(
            "--init: this berth-runner is linked with {} by a loader that is not known here: take the static one, or an init \
             of the image's own as its command",
            library.display()
        ))),
    }
}

/// All names of a library in its folder: programs ask for another one (`libc.so.6`) than the file may have.
fn names(library: &Path) -> Result<Vec<std::ffi::OsString>> {
    let folder = library.parent().unwrap_or(Path::new("/"));
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).doing("reading", folder)? {
        let entry = entry.doing("reading", folder)?;
        let is_link = entry.file_type().doing("asking", entry.path())?.is_symlink();
        if entry.path() == library
            || is_link && fs::canonicalize(entry.path()).is_ok_and(|path| path == library)
        {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).doing("reading", from)?;
    let mut copy = File::create_new(to).doing("writing", to)?;
    io::copy(&mut source, &mut copy).doing("writing", to)?;
    mode(to, 0o555)
}

fn mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).doing("changing", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0-55d1 r--p 00000000 fe:00 12 /usr/bin/berth-runner
7f00-7f01 r--p 00000000 fe:00 13 /usr/lib/libc.so.6
7f01-7f02 r-xp 00001000 fe:00 13 /usr/lib/libc.so.6
7f02-7f03 r--p 00000000 fe:00 14 /usr/lib/ld-linux-x86-64.so.2
7f03-7f04 rw-p 00000000 00:00 0
7ffe-7fff rw-p 00000000 00:00 0 [stack]
";

    #[test]
    fn a_program_with_libraries_is_started_by_its_loader_and_takes_them_from_beside_it() {
        let found = libraries(MAPS);
        assert_eq!(found, ["/usr/lib/libc.so.6", "/usr/lib/ld-linux-x86-64.so.2"].map(PathBuf::from));
        let program = Program { folder: PathBuf::new(), loader: loader(&found).unwrap() };
        assert_eq!(
            program.words("/i"),
            ["/i/ld-linux-x86-64.so.2", "--library-path", "/i", "/i/init", "__init", "--"]
        );
    }

    #[test]
    fn a_static_program_needs_no_loader_and_an_unknown_one_is_told() {
        let first = MAPS.lines().next().unwrap();
        let program = Program { folder: PathBuf::new(), loader: loader(&libraries(first)).unwrap() };
        assert_eq!(program.words("/i"), ["/i/init", "__init", "--"]);
        let error = loader(&libraries(&MAPS.replace("ld-linux-x86-64.so.2", "other.so"))).unwrap_err();
        assert!(error.to_string().contains("take the static one"), "{error}");
    }
}
