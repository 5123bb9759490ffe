//! A store and a folder of what runs belong together: containers of one store that ran under two folders would not know
//! of each other, and each side would take down bridges, addresses and files that the other one needs.
//!
//! Each of the two folders notes the other. While something runs, no other goes in its place; when nothing does, either
//! may be used with another one, and the notes follow.

use std::{
    fs,
    io::ErrorKind,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::{
    error::{Result, RunnerError, While},
    folders::Folders,
    record::files,
    supervisor::live::something_runs,
};

/// The note in a store: the folder under which its containers run.
fn note_of_store(store: &Path) -> PathBuf {
    store.join("runroot")
}

/// The note in a folder of what runs: the store that the containers are of.
fn note_of_run(run: &Path) -> PathBuf {
    run.join("root")
}

fn read(note: &Path) -> Result<Option<PathBuf>> {
    match fs::read(note) {
        Ok(text) => Ok(Some(std::ffi::OsString::from_vec(text).into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("reading", note),
    }
}

/// Whether two paths mean one folder.
fn same(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The folder under which containers of a store run at this moment, where that is another than `folders` says.
fn elsewhere(folders: &Folders) -> Result<Option<PathBuf>> {
    let Some(run) = read(&note_of_store(&folders.store))?.filter(|run| !same(run, &folders.run)) else {
        return Ok(None);
    };
    // The note there says the same, or it is another store's by now.
    let there = Folders { store: folders.store.clone(), run };
    let agreed = read(&note_of_run(&there.run))?.is_some_and(|store| same(&store, &folders.store));
    Ok((agreed && something_runs(&there)?).then_some(there.run))
}

/// For who named no folder of what runs: that under which containers of the store run already. The usual one of a user
/// depends on how that user logged in.
///
/// # Errors
/// Where a note cannot be read.
pub(crate) fn follow(folders: &mut Folders) -> Result<()> {
    if let Some(run) = elsewhere(folders)? {
        folders.run = run;
    }
    Ok(())
}

/// Notes that these two belong together.
///
/// # Errors
/// [`RunnerError::Conflict`] where something runs that belongs to another one, with which.
pub(crate) fn keep(folders: &Folders) -> Result<()> {
    let Folders { store, run } = folders;
    let (of_store, of_run) = (read(&note_of_store(store))?, read(&note_of_run(run))?);
    let agreed =
        |note: &Option<PathBuf>, folder: &Path| note.as_ref().is_some_and(|noted| same(noted, folder));
    if agreed(&of_store, run) && agreed(&of_run, store) {
        return Ok(());
    }
    if let Some(other) = elsewhere(folders)? {
        return Err(RunnerError::Conflict(format!(
            "containers of {} run under {}: say --runroot {1}, or end them there before they run under {}",
            store.display(),
            other.display(),
            run.display()
        )));
    }
    if let Some(other) = of_run.filter(|other| !same(other, store)) {
        let there = Folders { store: other, run: run.clone() };
        if something_runs(&there)? {
            return Err(RunnerError::Conflict(format!(
                "what runs under {} is of {}: name another folder with --runroot for containers of {}",
                run.display(),
                there.store.display(),
                store.display()
            )));
        }
    }
    files::private_folder(run)?;
    files::replace(&note_of_store(store), run.as_os_str().as_bytes(), false)?;
    files::replace(&note_of_run(run), store.as_os_str().as_bytes(), false)
}
