//! `:U`, `:z` and `:Z`: files of a mount that are given to the container before it starts.

use std::{fs, os::fd::OwnedFd, path::Path};

use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid, XattrFlags};

use super::Build;
use crate::{
    error::{Result, RunnerError, While},
    record::{Mount, Relabel},
};

/// Folders whose files belong to the machine; given away, it would not start again.
const MACHINE: [&str; 14] =
    ["bin", "boot", "dev", "etc", "home", "lib", "lib64", "proc", "root", "run", "sbin", "sys", "usr", "var"];

fn is_the_machines(source: &Path) -> Result<bool> {
    let real = fs::canonicalize(source).doing("finding", source)?;
    let below = real.strip_prefix("/").unwrap_or(&real);
    Ok(below.as_os_str().is_empty() || MACHINE.iter().any(|name| below == Path::new(name)))
}

/// Does something to a file and, where it is a folder, to all below it. Links are not followed.
fn each(path: &Path, act: &impl Fn(&OwnedFd) -> rustix::io::Result<()>) -> Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(path, flags, Mode::empty()).doing("opening", path)?;
    act(&top).doing("changing", path)?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&top).doing("asking", path)?.st_mode);
    if !kind.is_dir() {
        return Ok(());
    }
    // A stack of folders in place of recursion: a deep tree is no deep call.
    let open = |folder: &OwnedFd, name: &std::ffi::CStr| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(folder, name, flags, Mode::empty())
    };
    let mut folders = vec![open(&top, c".").doing("opening", path)?];
    while let Some(folder) = folders.pop() {
        for entry in Dir::read_from(&folder).doing("reading", path)? {
            let entry = entry.doing("reading", path)?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let file = rustix::fs::openat(&folder, name, flags, Mode::empty()).doing("opening", path)?;
            act(&file).doing("changing", path)?;
            if entry.file_type() == rustix::fs::FileType::Directory {
                folders.push(open(&folder, name).doing("opening", path)?);
            }
        }
    }
    Ok(())
}

/// What the mount's options ask for.
///
/// # Errors
/// [`RunnerError::Usage`] for a folder that the machine itself lives in.
pub(super) fn adjust(build: &Build<'_>, wanted: &Mount, source: &Path) -> Result<()> {
    let labels = wanted.relabel.filter(|_| Path::new("/sys/fs/selinux/enforce").exists());
    if !wanted.chown && labels.is_none() {
        return Ok(());
    }
    if is_the_machines(source)? {
        return Err(RunnerError::Usage(format!(
            "{} is the machine's own: its files are neither given away (U) nor labelled (z, Z); mount a folder below it",
            source.display()
        )));
    }
    if wanted.chown {
        let (uid, gid) = build.on_disk(build.identity.uid, build.identity.gid, source)?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        each(source, &|file| rustix::fs::chownat(file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH))?;
    }
    if let Some(relabel) = labels {
        let level = match (relabel, build.desired.security.selinux.as_deref()) {
            (Relabel::Private, Some(label)) => label.splitn(4, ':').nth(3).unwrap_or("s0"),
            (Relabel::Private, None) | (Relabel::Shared, _) => "s0",
        };
        let label = format!("system_u:object_r:container_file_t:{level}\0");
        each(source, &|file| {
            // A descriptor of a path takes no attributes; its name under /proc does.
            let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
            rustix::fs::setxattr(name, "security.selinux", label.as_bytes(), XattrFlags::empty())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn folders_of_the_machine_are_known() {
        for path in ["/", "/etc", "/usr/", "/proc/../var", "/dev"] {
            assert!(is_the_machines(Path::new(path)).unwrap(), "{path}");
        }
        assert!(!is_the_machines(Path::new("/usr/share")).unwrap());
    }

    #[test]
    fn every_file_below_is_met_once_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/file"), "").unwrap();
        fs::write(outside.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        let met = std::cell::RefCell::new(Vec::new());
        each(folder.path(), &|file| {
            met.borrow_mut().push(rustix::fs::fstat(file)?.st_ino);
            Ok(())
        })
        .unwrap();
        let mut met = met.into_inner();
        met.sort_unstable();
        let inode = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
        let root = folder.path();
        let mut wanted =
            [root.into(), root.join("a"), root.join("a/b"), root.join("a/b/file"), root.join("link")]
                .map(|path| inode(&path));
        wanted.sort_unstable();
        assert_eq!(met, wanted);
    }
}
