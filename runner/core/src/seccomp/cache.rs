//! Compiled filters on disk, named by the hash of what they were made from.
//!
//! A filter decides what a container may do, so a file is loaded only when it is a regular file of the caller's own
//! that nobody else can write, in a folder of which the same is true, and its content says the very hash it is named
//! by and has its own checksum right. Whatever is wrong with it, it is no error: the profile is compiled and the file
//! is replaced.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

use libc::sock_filter;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use sha2::{Digest, Sha256};

/// Changes with what the compiler makes of a profile and with the layout of the file.
const FORMAT: &[u8; 16] = b"berth-seccomp 1\n";

const HASH: usize = 32;
const STEP: usize = 8;

/// The hash that a profile's filter is found by.
pub(super) type Key = [u8; HASH];

/// The key of what a filter is made from: format, architecture and profile.
pub(super) fn key(profile: &[u8]) -> Key {
    let mut hash = Sha256::new();
    hash.update(FORMAT);
    hash.update(std::env::consts::ARCH);
    hash.update([0]);
    hash.update(profile);
    hash.finalize().into()
}

fn name(key: &Key) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(2 * HASH + 4);
    for byte in key {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name + ".bpf"
}

/// Whether only the caller can change it.
fn own(fd: &impl std::os::fd::AsFd, kind: FileType) -> io::Result<bool> {
    let stat = fs::fstat(fd)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == kind
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && stat.st_mode & 0o022 == 0)
}

fn folder(path: &Path) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let folder = fs::open(path, flags, Mode::empty())?;
    Ok(own(&folder, FileType::Directory)?.then_some(folder))
}

/// The filter of a key, where one is there that can be trusted.
pub(super) fn load(cache: &Path, key: &Key) -> Option<Vec<sock_filter>> {
    // Each way to fail has the same answer: compile it.
    let folder = folder(cache).ok()??;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::openat(&folder, name(key), flags, Mode::empty()).ok()?;
    if !own(&file, FileType::RegularFile).ok()? {
        return None;
    }
    let most = (FORMAT.len() + HASH + 4096 * STEP + HASH + 1) as u64;
    let mut content = Vec::with_capacity(4096);
    File::from(file).take(most).read_to_end(&mut content).ok()?;
    decode(&content, key)
}

fn decode(content: &[u8], key: &Key) -> Option<Vec<sock_filter>> {
    let (body, checksum) = content.split_at_checked(content.len().checked_sub(HASH)?)?;
    let steps = body.strip_prefix(FORMAT)?.strip_prefix(key)?;
    if steps.is_empty() || !steps.len().is_multiple_of(STEP) || Sha256::digest(body).as_slice() != checksum {
        return None;
    }
    let steps = steps.as_chunks::<STEP>().0.iter();
    Some(
        steps
            .map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| sock_filter {
                code: u16::from_le_bytes([c0, c1]),
                jt,
                jf,
                k: u32::from_le_bytes([k0, k1, k2, k3]),
            })
            .collect(),
    )
}

fn encode(program: &[sock_filter], key: &Key) -> Vec<u8> {
    let mut content = Vec::with_capacity(FORMAT.len() + HASH + program.len() * STEP + HASH);
    content.extend(FORMAT);
    content.extend(key);
    for step in program {
        content.extend(step.code.to_le_bytes());
        content.extend([step.jt, step.jf]);
        content.extend(step.k.to_le_bytes());
    }
    let checksum = Sha256::digest(&content);
    content.extend(checksum);
    content
}

/// For the fuzz targets: see [`crate::fuzzing::cached_filter`].
pub(crate) fn fuzzed(bytes: &[u8]) {
    let (ours, other) = (key(b"one"), key(b"other"));
    let _any = decode(bytes, &ours);
    // Behind the checksum, which nobody guesses.
    let mut content = [FORMAT, &ours[..], bytes].concat();
    content.extend(Sha256::digest(&content));
    let Some(steps) = decode(&content, &ours) else { return };
    assert_eq!(encode(&steps, &ours), content);
    assert!(decode(&content, &other).is_none());
}

/// Keeps a filter. It appears whole or not at all.
pub(super) fn store(cache: &Path, key: &Key, program: &[sock_filter]) -> io::Result<()> {
    let Some(folder) = folder(cache)? else {
        return Err(io::Error::other(format!("{}: others can write to this folder", cache.display())));
    };
    // Two processes at once write to files of their own.
    let temporary = format!(".{}.{}", name(key), std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match fs::openat(&folder, &temporary, flags, mode) {
        // Left by a process of the same number that was killed between these lines.
        Err(rustix::io::Errno::EXIST) => {
            fs::unlinkat(&folder, &temporary, AtFlags::empty())?;
            fs::openat(&folder, &temporary, flags, mode)?
        }
        other => other?,
    };
    let written = File::from(file)
        .write_all(&encode(program, key))
        .and_then(|()| Ok(fs::renameat(&folder, &temporary, &folder, name(key))?));
    if written.is_err() {
        // The first error is the one that tells.
        let _ = fs::unlinkat(&folder, &temporary, AtFlags::empty());
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn program() -> Vec<sock_filter> {
        vec![
            sock_filter { code: 0x20, jt: 0, jf: 0, k: 4 },
            sock_filter { code: 6, jt: 1, jf: 2, k: 0x7fff_0000 },
        ]
    }

    fn same(one: &[sock_filter], other: &[sock_filter]) -> bool {
        let cells =
            |program: &[sock_filter]| program.iter().map(|s| (s.code, s.jt, s.jf, s.k)).collect::<Vec<_>>();
        cells(one) == cells(other)
    }

    struct Kept {
        folder: tempfile::TempDir,
        key: Key,
    }

    impl Kept {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
            let key = key(b"a profile");
            store(folder.path(), &key, &program()).unwrap();
            Self { folder, key }
        }

        fn file(&self) -> std::path::PathBuf {
            self.folder.path().join(name(&self.key))
        }

        fn loads(&self) -> bool {
            load(self.folder.path(), &self.key).is_some_and(|loaded| same(&loaded, &program()))
        }

        fn chmod(&self, path: &Path, mode: u32) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    #[test]
    fn a_kept_filter_is_loaded_as_it_was() {
        let kept = Kept::new();
        assert!(kept.loads());
        assert_eq!(std::fs::metadata(kept.file()).unwrap().permissions().mode() & 0o7777, 0o600);
        let names: Vec<_> = std::fs::read_dir(kept.folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays: {names:?}");
        assert!(load(kept.folder.path(), &key(b"another")).is_none());
    }

    #[test]
    fn a_filter_that_was_damaged_anywhere_is_not_loaded() {
        let kept = Kept::new();
        let whole = std::fs::read(kept.file()).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            std::fs::write(kept.file(), &damaged).unwrap();
            assert!(load(kept.folder.path(), &kept.key).is_none(), "byte {place}");
            std::fs::write(kept.file(), &whole[..place]).unwrap();
            assert!(load(kept.folder.path(), &kept.key).is_none(), "{place} bytes");
        }
        std::fs::write(kept.file(), [&whole[..], b"x"].concat()).unwrap();
        assert!(load(kept.folder.path(), &kept.key).is_none(), "a byte more");
    }

    #[test]
    fn a_filter_under_another_profiles_name_is_not_loaded() {
        let kept = Kept::new();
        let other = key(b"a stricter profile");
        std::fs::rename(kept.file(), kept.folder.path().join(name(&other))).unwrap();
        assert!(load(kept.folder.path(), &other).is_none());
    }

    #[test]
    fn a_filter_that_others_could_have_written_is_not_loaded() {
        let kept = Kept::new();
        kept.chmod(&kept.file(), 0o620);
        assert!(!kept.loads());
        kept.chmod(&kept.file(), 0o602);
        assert!(!kept.loads());
        kept.chmod(&kept.file(), 0o600);
        assert!(kept.loads());
        kept.chmod(kept.folder.path(), 0o770);
        assert!(!kept.loads());
        assert!(store(kept.folder.path(), &kept.key, &program()).is_err());
        kept.chmod(kept.folder.path(), 0o700);
        assert!(kept.loads());
    }

    #[test]
    fn a_link_or_a_pipe_in_the_place_of_a_filter_is_not_loaded() {
        let kept = Kept::new();
        let aside = kept.folder.path().join("aside");
        std::fs::rename(kept.file(), &aside).unwrap();
        symlink(&aside, kept.file()).unwrap();
        assert!(!kept.loads());
        std::fs::remove_file(kept.file()).unwrap();
        fs::mknodat(fs::CWD, kept.file(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(!kept.loads());
        // And it is replaced.
        store(kept.folder.path(), &kept.key, &program()).unwrap();
        assert!(kept.loads());
    }

    #[test]
    fn another_users_filter_is_not_loaded() {
        let kept = Kept::new();
        if !rustix::process::geteuid().is_root() {
            // Only root can make a file another's; the rule is the same line for both.
            return;
        }
        std::os::unix::fs::chown(kept.file(), Some(65534), None).unwrap();
        assert!(!kept.loads());
        std::os::unix::fs::chown(kept.file(), Some(0), None).unwrap();
        std::os::unix::fs::chown(kept.folder.path(), Some(65534), None).unwrap();
        assert!(!kept.loads());
    }
}
