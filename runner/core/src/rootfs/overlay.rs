//! Overlay mounts of layers, by descriptors: any number of layers with names of any length, id-mapped where asked for.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, CWD, Mode, OFlags, ResolveFlags, StatVfsMountFlags},
    io::Errno,
    mount::{
        self, FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags,
    },
};

use super::{filesystem::said, idmap::id_mapped_clone};
use crate::{During, RuntimeError, sys::owned_create::create_as};

/// How an overlay is mounted.
#[derive(Clone, Copy, Debug, Default)]
pub struct OverlayOptions<'a> {
    /// A user namespace: layers, and what is written, have unshifted ids on disk and this namespace's ids in the mount.
    pub id_map: Option<BorrowedFd<'a>>,
    /// Marks are extended attributes of `user.overlay.`, which need no privilege, instead of `trusted.overlay.`.
    pub userxattr: bool,
    /// The mount is read-only, with or without an upper folder.
    pub read_only: bool,
    /// A change of owner or mode copies no content. It leaves files in the upper folder that are not whole.
    pub metacopy: bool,
    /// What is written need not survive a crash of the machine.
    pub volatile: bool,
}

/// What lies on each other, the uppermost first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers<'a> {
    pub(super) lowers: &'a [&'a Path],
    pub(super) data_only: &'a [&'a Path],
    pub(super) upper: Option<(&'a Path, &'a Path)>,
}

/// How the kernel is told of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Linux 6.13.
    ByDescriptor,
    /// Linux 6.7: a path under `/proc/self/fd`.
    ByPath,
}

/// Mounts `lowers` (the uppermost first) at `target`, with `upper` (the folder that is written, and the overlay's work
/// folder beside it) on top. `data_only` layers hold contents alone, found by the `redirect` of files in `lowers`
/// (Linux 6.5; before 6.16 they imply [`OverlayOptions::metacopy`]).
///
/// # Errors
/// [`RuntimeError::Unsupported`] where a layer cannot be id-mapped, [`RuntimeError::Step`] with the kernel's own words.
pub fn mount_overlay(
    lowers: &[&Path],
    data_only: &[&Path],
    upper: Option<(&Path, &Path)>,
    target: &Path,
    options: OverlayOptions<'_>,
) -> Result<(), RuntimeError> {
    if options.userxattr && options.metacopy {
        return Err(RuntimeError::Unsupported {
            what: "an overlay with userxattr and metacopy".into(),
            why: "the kernel writes such marks with trusted.overlay alone: leave one of the two out".into(),
        });
    }
    let layers = Layers { lowers, data_only, upper };
    let step = || format!("mounting an overlay at {}", target.display());
    let opened = Opened::open(&layers, options.id_map)?;
    let mount = match detached(&opened, options) {
        Err(Failure::TooOld) => return old_call(&opened, target, options).during(step),
        answer => answer.map_err(Failure::into_error).during(step)?,
    };
    mount::move_mount(&mount, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).during(step)
}

/// Unmounts what is mounted at `path` (a link is not followed), at once for everybody who looks it up anew.
///
/// # Errors
/// [`RuntimeError::Step`]; `EINVAL` where nothing is mounted.
pub fn unmount(path: &Path) -> Result<(), RuntimeError> {
    mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .during(|| format!("unmounting {}", path.display()))
}

/// The layers' descriptors.
#[derive(Debug)]
pub(super) struct Opened {
    lowers: Vec<OwnedFd>,
    data_only: Vec<OwnedFd>,
    upper: Option<Upper>,
    /// The lower layers are detached mounts, and so is what holds the upper one.
    id_mapped: bool,
}

/// The folder that is written and its work folder.
#[derive(Debug)]
struct Upper {
    folder: OwnedFd,
    work: OwnedFd,
    /// The id-mapped copy that both are of: a detached mount is taken apart when its descriptor is closed.
    id_mapped: Option<OwnedFd>,
}

/// A folder of the host, as a place.
fn folder(at: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, RuntimeError> {
    fs::openat(at, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .during(|| format!("opening the layer {}", path.display()))
}

impl Opened {
    pub(super) fn open(layers: &Layers<'_>, id_map: Option<BorrowedFd<'_>>) -> Result<Self, RuntimeError> {
        let layer = |path: &&Path| match id_map {
            Some(namespace) => id_mapped_clone(path, namespace, false),
            None => folder(CWD, path),
        };
        let upper = match (layers.upper, id_map) {
            (None, _) => None,
            (Some((upper, work)), None) => {
                Some(Upper { folder: folder(CWD, upper)?, work: folder(CWD, work)?, id_mapped: None })
            }
            (Some((upper, work)), Some(namespace)) => Some(mapped_upper(upper, work, namespace)?),
        };
        Ok(Self {
            lowers: layers.lowers.iter().map(layer).collect::<Result<_, _>>()?,
            // Only contents are read from these, by the mounter: whose they are does not matter.
            data_only: layers.data_only.iter().map(|path| folder(CWD, path)).collect::<Result<_, _>>()?,
            upper,
            id_mapped: id_map.is_some(),
        })
    }

    /// All detached mounts.
    fn mounts(&self) -> Vec<BorrowedFd<'_>> {
        let upper = self.upper.as_ref().and_then(|upper| upper.id_mapped.as_ref());
        self.lowers.iter().chain(upper).map(AsFd::as_fd).collect()
    }
}

/// Both lie on one mount, as overlay wants it: an id-mapped copy of the folder that holds both.
fn mapped_upper(upper: &Path, work: &Path, namespace: BorrowedFd<'_>) -> Result<Upper, RuntimeError> {
    let common: PathBuf = upper
        .components()
        .zip(work.components())
        .take_while(|(one, other)| one == other)
        .map(|(one, _)| one)
        .collect();
    let common = if common.as_os_str().is_empty() { PathBuf::from(".") } else { common };
    let clone = id_mapped_clone(&common, namespace, false)?;
    let inner = |path: &Path| {
        let rest = path.strip_prefix(&common).unwrap_or(path);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // Another mount below the common folder would have ids that are not mapped.
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
        fs::openat2(&clone, rest, flags, Mode::empty(), resolve)
            .during(|| format!("opening the layer {} below {}", path.display(), common.display()))
    };
    Ok(Upper { folder: inner(upper)?, work: inner(work)?, id_mapped: Some(clone) })
}

/// Why no overlay came to be.
#[derive(Debug)]
pub(super) enum Failure {
    /// The kernel knows none of the ways in which this module tells it of layers.
    TooOld,
    Refused {
        errno: Errno,
        says: String,
    },
}

impl Failure {
    fn into_error(self) -> io::Error {
        match self {
            Self::TooOld => Errno::NOSYS.into(),
            Self::Refused { errno, says } if says.is_empty() => errno.into(),
            Self::Refused { errno, says } => {
                let error = io::Error::from(errno);
                io::Error::new(error.kind(), format!("{error}{says}"))
            }
        }
    }
}

/// Makes the overlay, mounted nowhere yet.
pub(super) fn detached(opened: &Opened, options: OverlayOptions<'_>) -> Result<OwnedFd, Failure> {
    let silent = |errno| Failure::Refused { errno, says: String::new() };
    if let ([lower], [], None) = (&opened.lowers[..], &opened.data_only[..], &opened.upper) {
        // An overlay has two layers at least; one alone is a bind.
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let copy = if opened.id_mapped {
            lower.try_clone().map_err(|_| silent(Errno::MFILE))?
        } else {
            mount::open_tree(lower, c"", flags).map_err(silent)?
        };
        super::tree::Tree::from(copy.try_clone().map_err(|_| silent(Errno::MFILE))?)
            .change(super::options::Attributes::READ_ONLY, false)
            .map_err(silent)?;
        return Ok(copy);
    }
    let refused =
        |answer: &Result<_, Failure>| matches!(answer, Err(Failure::Refused { errno: Errno::INVAL, .. }));
    let mut answer = configured(opened, options, Layered::Detached);
    // Between Linux 6.5 and 6.16 contents alone were allowed with metacopy only.
    let contents = OverlayOptions { metacopy: options.metacopy || !options.userxattr, ..options };
    if refused(&answer) && !opened.data_only.is_empty() && !options.metacopy && !options.userxattr {
        answer = configured(opened, contents, Layered::Detached);
    }
    if refused(&answer) && opened.id_mapped {
        let options = if opened.data_only.is_empty() { options } else { contents };
        // The first answer is the one that newer kernels mean.
        return configured(opened, options, Layered::Attached).or(answer);
    }
    answer
}

/// Where id-mapped layers are when the overlay is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layered {
    Detached,
    /// Before Linux 6.15: in a mount namespace.
    Attached,
}

fn configured(opened: &Opened, options: OverlayOptions<'_>, layered: Layered) -> Result<OwnedFd, Failure> {
    let context = match mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
        Err(Errno::NOSYS) => return Err(Failure::TooOld),
        answer => answer.map_err(|errno| Failure::Refused { errno, says: String::new() })?,
    };
    let context = context.as_fd();
    let refused = |errno| Failure::Refused { errno, says: said(context) };
    mount::fsconfig_set_string(context, "source", "overlay").map_err(refused)?;
    if options.userxattr {
        mount::fsconfig_set_flag(context, "userxattr").map_err(refused)?;
    }
    if options.metacopy {
        mount::fsconfig_set_string(context, "metacopy", "on").map_err(refused)?;
    }
    if options.volatile {
        mount::fsconfig_set_flag(context, "volatile").map_err(refused)?;
    }
    let mut told = Told::ByDescriptor;
    for lower in &opened.lowers {
        tell(context, &mut told, "lowerdir+", lower.as_fd())?;
    }
    for data in &opened.data_only {
        tell(context, &mut told, "datadir+", data.as_fd())?;
    }
    if let Some(upper) = &opened.upper {
        tell(context, &mut told, "upperdir", upper.folder.as_fd())?;
        tell(context, &mut told, "workdir", upper.work.as_fd())?;
    }
    if opened.id_mapped {
        // The overlay makes files of its own in the work folder, which need an owner that has an id there.
        let owner = opened.upper.as_ref().map_or(&opened.lowers[0], |upper| &upper.work);
        let owner = fs::fstat(owner).map_err(refused)?;
        let attach = if layered == Layered::Attached { opened.mounts() } else { Vec::new() };
        create_as(context, owner.st_uid, owner.st_gid, &attach).map_err(refused)?;
    } else {
        mount::fsconfig_create(context).map_err(refused)?;
    }
    let mut attributes = MountAttrFlags::empty();
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, options.read_only);
    let mount = mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(refused)?;
    let is_read_only = fs::fstatvfs(&mount).map_err(refused)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    if opened.upper.is_some() && is_read_only && !options.read_only {
        let says =
            " (the work folder cannot be used, so the kernel made the overlay read-only; its log says more)";
        return Err(Failure::Refused { errno: Errno::ROFS, says: says.into() });
    }
    Ok(mount)
}

/// The path of a descriptor for calls that know only paths.
fn path_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn tell(context: BorrowedFd<'_>, told: &mut Told, key: &str, layer: BorrowedFd<'_>) -> Result<(), Failure> {
    if *told == Told::ByDescriptor {
        match mount::fsconfig_set_fd(context, key, layer) {
            Err(Errno::INVAL) => *told = Told::ByPath,
            answer => return answer.map_err(|errno| Failure::Refused { errno, says: said(context) }),
        }
    }
    match mount::fsconfig_set_string(context, key, path_of(layer)) {
        Err(Errno::INVAL) if key.ends_with('+') => Err(Failure::TooOld),
        answer => answer.map_err(|errno| Failure::Refused { errno, says: said(context) }),
    }
}

/// By `mount(2)`, whose options fit into one page: some two hundred layers by the numbers of their descriptors.
fn old_call(opened: &Opened, target: &Path, options: OverlayOptions<'_>) -> rustix::io::Result<()> {
    let mut lowers: Vec<String> = opened.lowers.iter().map(|lower| path_of(lower.as_fd())).collect();
    lowers.extend(opened.data_only.iter().map(|data| format!(":{}", path_of(data.as_fd()))));
    let mut data = format!("lowerdir={}", lowers.join(":"));
    if let Some(upper) = &opened.upper {
        data +=
            &format!(",upperdir={},workdir={}", path_of(upper.folder.as_fd()), path_of(upper.work.as_fd()));
    }
    data += if options.userxattr { ",userxattr" } else { "" };
    data += if options.metacopy || !opened.data_only.is_empty() { ",metacopy=on" } else { "" };
    data += if options.volatile { ",volatile" } else { "" };
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, options.read_only);
    mount::mount("overlay", target, "overlay", flags, data.as_c_str())
}

#[cfg(test)]
mod tests;
