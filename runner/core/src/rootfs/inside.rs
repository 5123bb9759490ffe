//! The root as the child has it: a descriptor of its mount, in which places are found and onto which trees are put.

use std::{
    ffi::OsString,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{
    resolve::{self, Descriptors, Kind, Links},
    tree::{Identity, Tree},
};
use crate::{During, RuntimeError};

/// Files of procfs that may be covered (by a FUSE filesystem that shows a container's own load, say).
const COVERABLE: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "uptime",
    "net/dev",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// See the module.
#[derive(Debug)]
pub(super) struct Inside {
    root: OwnedFd,
    descriptors: Descriptors,
    /// Where the root is, as the child sees it before the pivot.
    path: OsString,
}

/// A place in the root for a mount.
#[derive(Debug)]
pub(super) struct Place {
    file: OwnedFd,
    /// The destination as the specification has it.
    asked: PathBuf,
    /// Where it really is, below the root, links resolved: `/run/lock`.
    inside: PathBuf,
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Place {
    /// Its descriptor alone.
    pub(super) fn into_file(self) -> OwnedFd {
        self.file
    }
}

/// What will be mounted, as far as procfs asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Procfs itself, new or bound.
    Procfs,
    /// A file or folder of somewhere else.
    Other,
}

impl Inside {
    /// `root` is attached already.
    pub(super) fn new(root: OwnedFd, descriptors: Descriptors) -> Result<Self, RuntimeError> {
        let path = descriptors.path_of(root.as_fd()).during(|| "finding where the root is".into())?;
        Ok(Self { root, descriptors, path })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(super) fn descriptors(&self) -> &Descriptors {
        &self.descriptors
    }

    /// Finds the place of a destination, makes it where it is missing, and refuses places that would let an image
    /// turn a mount against the container. `field` names it in errors: `mounts[3].destination`.
    pub(super) fn place(
        &self,
        field: &str,
        destination: &Path,
        kind: Kind,
        links: Links,
        content: Content,
    ) -> Result<Place, RuntimeError> {
        let file = resolve::made(self.root(), destination, kind, links)
            .map_err(|errno| unusable(field, destination, kind, links, errno))?;
        let place = self.known(field, file, destination)?;
        self.not_in_procfs(field, &place, content)?;
        Ok(place)
    }

    /// As [`Self::place`], for something that is there.
    pub(super) fn present(&self, field: &str, destination: &Path) -> Result<Place, RuntimeError> {
        let file = resolve::existing(self.root(), destination, Links::Followed)
            .map_err(|errno| unusable(field, destination, Kind::Directory, Links::Followed, errno))?;
        self.known(field, file, destination)
    }

    /// A folder for files that are made or bound in it, made where it is missing.
    pub(super) fn folder(&self, field: &str, path: &Path) -> Result<OwnedFd, RuntimeError> {
        let file = resolve::made(self.root(), path, Kind::Directory, Links::Followed)
            .map_err(|errno| unusable(field, path, Kind::Directory, Links::Followed, errno))?;
        self.inside(field, file.as_fd(), path)?;
        if resolve::is_procfs(file.as_fd()).during(|| format!("{field}: reading its filesystem"))? {
            return Err(RuntimeError::Spec {
                field: field.to_owned(),
                rule: format!("{} is inside procfs: replace the link in the image", path.display()),
            });
        }
        Ok(file)
    }

    /// Where a descriptor is, below the root. The kernel kept it inside; this proves it once more, by another way.
    fn inside(&self, field: &str, file: BorrowedFd<'_>, destination: &Path) -> Result<PathBuf, RuntimeError> {
        let path = self
            .descriptors
            .path_of(file)
            .during(|| format!("{field}: finding where {} is", destination.display()))?;
        below(&self.path, &path).ok_or_else(|| RuntimeError::Spec {
            field: field.to_owned(),
            rule: format!("{} leads out of the root", destination.display()),
        })
    }

    fn known(&self, field: &str, file: OwnedFd, destination: &Path) -> Result<Place, RuntimeError> {
        let inside = self.inside(field, file.as_fd(), destination)?;
        if inside == Path::new("/") {
            return Err(RuntimeError::Spec {
                field: field.to_owned(),
                rule: format!(
                    "{} is the root itself, onto which nothing can be mounted: take another root.path, or replace the \
                     link in the image",
                    destination.display()
                ),
            });
        }
        Ok(Place { file, asked: destination.to_owned(), inside })
    }

    /// Over procfs only procfs may be mounted, and inside it only what is known to be harmless: what is written to
    /// `/proc` (labels, sysctl) must reach the kernel.
    fn not_in_procfs(&self, field: &str, place: &Place, content: Content) -> Result<(), RuntimeError> {
        let refuse = |rule: &str| {
            Err(RuntimeError::Spec {
                field: field.to_owned(),
                rule: format!("{} is {rule}", place.asked.display()),
            })
        };
        if place.inside == Path::new("/proc") && content != Content::Procfs {
            return refuse("/proc, where nothing but procfs may be mounted: give it the type proc");
        }
        let on_procfs =
            resolve::is_procfs(place.as_fd()).during(|| format!("{field}: reading its filesystem"))?;
        if on_procfs && content != Content::Procfs {
            let name = place.inside.strip_prefix("/proc").unwrap_or(&place.inside);
            if !COVERABLE.iter().any(|coverable| Path::new(coverable) == name) {
                return refuse("inside procfs, whose files must be the kernel's: take another destination");
            }
        }
        Ok(())
    }

    /// Puts a tree onto its place, and proves that it is found there now, in the root and without a link.
    pub(super) fn attach(&self, field: &str, tree: &Tree, place: &Place) -> Result<(), RuntimeError> {
        let step = || format!("{field}: mounting onto {}", place.asked.display());
        tree.attach(place.as_fd(), &self.descriptors).during(step)?;
        let found = resolve::existing(self.root(), &place.inside, Links::Refused).during(step)?;
        let (found, mounted) =
            (Identity::of(found.as_fd()).during(step)?, Identity::of(tree.as_fd()).during(step)?);
        if found != mounted {
            return Err(RuntimeError::Spec {
                field: field.to_owned(),
                rule: format!(
                    "{} was moved while it was mounted: another container changes the same files",
                    place.asked.display()
                ),
            });
        }
        Ok(())
    }
}

/// `path` as seen from `root`.
fn below(root: &OsString, path: &OsString) -> Option<PathBuf> {
    let rest = if root.as_bytes() == b"/" {
        Path::new(path).strip_prefix("/").ok()?
    } else {
        Path::new(path).strip_prefix(root).ok()?
    };
    Some(Path::new("/").join(rest))
}

fn unusable(field: &str, destination: &Path, kind: Kind, links: Links, errno: Errno) -> RuntimeError {
    let shown = destination.display();
    let rule = match (errno, links, kind) {
        (Errno::LOOP, Links::Refused, _) => format!(
            "{shown} is a symbolic link in the image, or lies behind one: procfs and sysfs are mounted on real \
             directories alone, or writes to them could go elsewhere. Replace the link in the image by a directory"
        ),
        (Errno::LOOP, Links::Followed, _) => {
            format!(
                "{shown} leads through a link of procfs, or through too many links: replace it in the image"
            )
        }
        (Errno::NOTDIR, _, Kind::Directory) => {
            format!("{shown} is a file in the image, or lies behind one, and what is mounted is a directory")
        }
        (Errno::NOTDIR, _, Kind::File) => format!("{shown} lies behind a file in the image"),
        (Errno::ISDIR, _, _) => format!("{shown} is a directory in the image, and what is mounted is a file"),
        _ => {
            return RuntimeError::Step {
                step: format!("{field}: making {shown} in the root"),
                source: errno.into(),
            };
        }
    };
    RuntimeError::Spec { field: field.to_owned(), rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_its_root_or_nowhere() {
        let os = OsString::from;
        assert_eq!(below(&os("/a/b"), &os("/a/b/c")), Some("/c".into()));
        assert_eq!(below(&os("/a/b"), &os("/a/b")), Some("/".into()));
        assert_eq!(below(&os("/"), &os("/proc")), Some("/proc".into()));
        assert_eq!(below(&os("/a/b"), &os("/a/bc")), None);
        assert_eq!(below(&os("/a/b"), &os("/etc")), None);
    }
}
