//! Removal of what a container or an image made.

use std::{ffi::CString, fs, io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, ResolveFlags, openat, openat2, renameat_with, unlinkat,
    },
    io::Errno,
};

/// Folders that are open at once. A container nests folders as deep as it likes, by stepping into each; what is open
/// for each of them would be more than this process may have, and what lies deepest could never be removed.
const HELD: usize = 32;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a folder with everything in it, however deep, following no link; a link or a file is removed itself.
///
/// # Errors
/// Where something stays, or nothing is there.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let top = match openat(CWD, path, FOLDER, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::LOOP | Errno::NOTDIR) => return fs::remove_file(path),
        Err(error) => return Err(error.into()),
    };
    let mut lifted = 0;
    loop {
        let before = lifted;
        empty(&top, &top, HELD, &mut lifted)?;
        // What was lifted may have been missed by this reading of the folder.
        if lifted == before {
            return fs::remove_dir(path);
        }
    }
}

/// Empties a folder; what lies deeper than `left` folders is lifted to the top, for the next reading of that.
fn empty(folder: &OwnedFd, top: &OwnedFd, left: usize, lifted: &mut u64) -> rustix::io::Result<()> {
    for found in Dir::read_from(folder)? {
        let found = found?;
        let name = found.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error),
        }
        if left == 0 {
            lift(folder, name.to_owned(), top, lifted)?;
            continue;
        }
        // What is mounted there is somebody else's: it stays, and so does the folder.
        let alone = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let inner = openat2(folder, name, FOLDER, Mode::empty(), alone)?;
        empty(&inner, top, left - 1, lifted)?;
        match unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn lift(folder: &OwnedFd, name: CString, top: &OwnedFd, lifted: &mut u64) -> rustix::io::Result<()> {
    loop {
        *lifted += 1;
        let free = format!(".deep-{lifted}");
        match renameat_with(folder, &name, top, free, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        os::unix::fs::symlink,
        process::{Command, Stdio},
    };

    use rustix::fs::mkdirat;

    use super::*;

    /// As a container makes them: no path is long enough to name the last one.
    fn nest(at: &Path, deep: usize) {
        fs::create_dir(at).unwrap();
        let mut folder = openat(CWD, at, FOLDER, Mode::empty()).unwrap();
        for _ in 0..deep {
            mkdirat(&folder, "d", Mode::from_raw_mode(0o700)).unwrap();
            folder = openat(&folder, "d", FOLDER, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn a_tree_goes_and_nothing_that_its_links_lead_to() {
        let place = tempfile::tempdir().unwrap();
        let (tree, outside) = (place.path().join("tree"), place.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        fs::write(tree.join("a/file"), "x").unwrap();
        symlink(&outside, tree.join("a/b/link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        symlink(&outside, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(fs::symlink_metadata(&tree).is_err());
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        assert_eq!(remove_tree(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn names_of_what_is_lifted_may_be_taken() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        nest(&tree, 3 * HELD);
        for number in 1..4 {
            fs::create_dir(tree.join(format!(".deep-{number}"))).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    /// The test runs itself again with few descriptors, which would stop its neighbours too.
    #[test]
    fn folders_nested_deeper_than_there_are_descriptors_go_too() {
        const TREE: &str = "BERTH_TEST_TREE";
        if let Some(tree) = env::var_os(TREE) {
            return remove_tree(Path::new(&tree)).unwrap();
        }
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        nest(&tree, 3000);
        let again = Command::new("sh")
            .args(["-c", "ulimit -n 96 && exec \"$0\" \"$@\""])
            .arg(env::current_exe().unwrap())
            .args(["folders_nested_deeper_than_there_are_descriptors_go_too", "--test-threads=1"])
            .env(TREE, &tree)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        let gone = !tree.exists();
        // Whatever went wrong, nothing stays that the temporary folder cannot remove.
        if !gone {
            remove_tree(&tree).unwrap();
        }
        assert!(again.success() && gone, "{again}");
    }

    #[test]
    fn what_is_mounted_in_a_tree_is_not_emptied() {
        if !rustix::process::geteuid().is_root() {
            assert!(env::var_os("CI").is_none(), "needs root, to mount");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let (tree, volume) = (place.path().join("tree"), place.path().join("volume"));
        fs::create_dir_all(tree.join("at")).unwrap();
        fs::create_dir(&volume).unwrap();
        fs::write(volume.join("kept"), "kept").unwrap();
        let mount = |words: &[&str]| Command::new(words[0]).args(&words[1..]).status().unwrap().success();
        let (from, at) = (volume.display().to_string(), tree.join("at").display().to_string());
        // Of the same filesystem: nothing but the mount tells it apart.
        assert!(mount(&["mount", "--bind", &from, &at]));
        let removed = remove_tree(&tree);
        assert!(mount(&["umount", &at]));
        assert_eq!(removed.unwrap_err().raw_os_error(), Some(Errno::XDEV.raw_os_error()));
        assert_eq!(fs::read_to_string(volume.join("kept")).unwrap(), "kept");
        remove_tree(&tree).unwrap();
    }
}
