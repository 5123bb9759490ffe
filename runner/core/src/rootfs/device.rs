//! Devices and the links beside them.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Spec};
use rustix::{
    fs::{self, AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid},
    io::Errno,
    process,
};

use super::{
    inside::Inside,
    resolve::{self, Kind, Links},
    tree::Tree,
};
use crate::{During, RuntimeError};

/// One device file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// `linux.devices[2]`, or the path of a default device.
    field: String,
    path: PathBuf,
    kind: FileType,
    number: u64,
    mode: u32,
    owner: (u32, u32),
}

/// What every container has (config-linux.md, "Default Devices"): name, major, minor.
const DEFAULTS: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links of `/dev`: name and target.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The default devices and those of the specification, which win.
pub(super) fn all(spec: &Spec) -> Result<Vec<Device>, RuntimeError> {
    let named = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let named: Vec<Device> = named
        .iter()
        .enumerate()
        .map(|(index, device)| Device::new(index, device))
        .collect::<Result<_, _>>()?;
    let mut devices: Vec<Device> = DEFAULTS
        .iter()
        .map(|(name, major, minor)| {
            let path = Path::new("/dev").join(name);
            Device {
                field: path.display().to_string(),
                path,
                kind: FileType::CharacterDevice,
                number: fs::makedev(*major, *minor),
                mode: 0o666,
                owner: (0, 0),
            }
        })
        .filter(|default| named.iter().all(|device| device.path != default.path))
        .collect();
    // The terminal multiplexer is the one of the container's own devpts.
    devices.extend(named.into_iter().filter(|device| device.path != Path::new("/dev/ptmx")));
    Ok(devices)
}

impl Device {
    fn new(index: usize, device: &LinuxDevice) -> Result<Self, RuntimeError> {
        let field = format!("linux.devices[{index}]");
        let fault = |name: &str, rule: String| RuntimeError::Spec { field: format!("{field}.{name}"), rule };
        let path = device.path();
        if !path.is_absolute()
            || path.file_name().is_none()
            || path.components().any(|part| part.as_os_str() == "..")
        {
            return Err(fault(
                "path",
                format!("{} is no absolute path of a file without ..", path.display()),
            ));
        }
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => {
                return Err(fault("type", "a is for rules of access: give c, b or p".into()));
            }
        };
        let part = |name: &str, number: i64| {
            u32::try_from(number)
                .map_err(|_| fault(name, format!("{number} is no device number (0 to 4294967295)")))
        };
        let number = if kind == FileType::Fifo {
            0
        } else {
            fs::makedev(part("major", device.major())?, part("minor", device.minor())?)
        };
        let mode = device.file_mode().unwrap_or(0o666) & 0o7777;
        let owner = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
        Ok(Self { field, path: path.clone(), kind, number, mode, owner })
    }

    fn is(&self, found: &Stat) -> bool {
        FileType::from_raw_mode(found.st_mode) == self.kind
            && (self.kind == FileType::Fifo || found.st_rdev == self.number)
    }

    fn words(&self) -> String {
        let kind = match self.kind {
            FileType::BlockDevice => "block device",
            FileType::Fifo => return "FIFO".into(),
            _ => "character device",
        };
        format!("{kind} {}:{}", fs::major(self.number), fs::minor(self.number))
    }

    /// Makes it in the root. Where the kernel does not let this user make devices (in a user namespace) the
    /// host's file is bound in its place.
    pub(super) fn make(&self, inside: &Inside) -> Result<(), RuntimeError> {
        let step = || format!("{}: making {}", self.field, self.path.display());
        let (folder, name) = folder_of(inside, &self.field, &self.path)?;
        match fs::mknodat(&folder, name, self.kind, Mode::from(self.mode), self.number) {
            Err(Errno::PERM) => return self.bind(inside, folder.as_fd(), name),
            Ok(()) | Err(Errno::EXIST) => {}
            answer => answer.during(step)?,
        }
        let file =
            fs::openat(&folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
                .during(step)?;
        if !self.is(&fs::fstat(&file).during(step)?) {
            return Err(RuntimeError::Spec {
                field: self.field.clone(),
                rule: format!(
                    "{} is in the root already and is no {}: take it out of the image, or mount a tmpfs on /dev",
                    self.path.display(),
                    self.words()
                ),
            });
        }
        let (user, group) = (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1));
        fs::chownat(&file, c"", Some(user), Some(group), AtFlags::EMPTY_PATH).during(step)
    }

    fn bind(&self, inside: &Inside, folder: BorrowedFd<'_>, name: &Path) -> Result<(), RuntimeError> {
        let step = || format!("{}: binding {} of the host", self.field, self.path.display());
        let missing = || RuntimeError::Unsupported {
            what: format!("{}: the {} {}", self.field, self.words(), self.path.display()),
            why: "in a user namespace no device can be made, and the host has none such at this path to bind"
                .into(),
        };
        let tree = match Tree::of_path(&self.path, false) {
            Err(Errno::NOENT) => return Err(missing()),
            answer => answer.during(step)?,
        };
        if !self.is(&fs::fstat(&tree).during(step)?) {
            return Err(missing());
        }
        bind_file(inside, folder, name, &tree).during(step)
    }
}

/// Binds a file onto a name of a folder, which may not be a link.
fn bind_file(inside: &Inside, folder: BorrowedFd<'_>, name: &Path, tree: &Tree) -> rustix::io::Result<()> {
    let place = resolve::made(folder, name, Kind::File, Links::Refused)?;
    tree.attach(place.as_fd(), inside.descriptors())
}

/// The folder of a file, inside the root, and the file's name.
fn folder_of<'a>(inside: &Inside, field: &str, path: &'a Path) -> Result<(OwnedFd, &'a Path), RuntimeError> {
    let no_file =
        || RuntimeError::Spec { field: field.to_owned(), rule: format!("{} names no file", path.display()) };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(no_file());
    };
    let folder = inside.folder(field, folder)?;
    Ok((folder, Path::new(name)))
}

/// Makes devices and links.
pub(super) fn make(inside: &Inside, devices: &[Device]) -> Result<(), RuntimeError> {
    let mask = process::umask(Mode::empty());
    let made = devices.iter().try_for_each(|device| device.make(inside));
    process::umask(mask);
    made?;
    links(inside)
}

fn links(inside: &Inside) -> Result<(), RuntimeError> {
    let folder = inside.folder("/dev", Path::new("/dev"))?;
    let link = |name: &str, target: &str| match fs::symlinkat(target, &folder, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).during(|| format!("linking /dev/{name} to {target}")),
    };
    for (name, target) in LINKS {
        link(name, target)?;
    }
    if fs::access("/proc/kcore", fs::Access::EXISTS).is_ok() {
        link("core", "/proc/kcore")?;
    }
    // Whatever the image has there: a terminal of another devpts would be the host's.
    match fs::unlinkat(&folder, "ptmx", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => link("ptmx", "pts/ptmx"),
        Err(errno) => Err(errno).during(|| "replacing /dev/ptmx".into()),
    }
}

/// The host's `/dev/null`, proved to be it: what covers a masked file must give nothing.
pub(super) fn null() -> Result<Tree, RuntimeError> {
    let step = || "copying /dev/null of the host".to_owned();
    let file = fs::openat(CWD, "/dev/null", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).during(step)?;
    let tree = Tree::of(file.as_fd(), false).during(step)?;
    let found = fs::fstat(&tree).during(step)?;
    let is_null = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
        && found.st_rdev == fs::makedev(1, 3);
    if is_null {
        Ok(tree)
    } else {
        Err(RuntimeError::Unsupported {
            what: "/dev/null".into(),
            why: "of the host is not the character device 1:3, so nothing can be masked with it: repair /dev"
                .into(),
        })
    }
}
