//! What overlay can do with the layers of a folder, on this kernel and filesystem and for this user: tried out.

use std::{
    ffi::OsString,
    fs,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};
use rustix::{
    fs::{Mode, OFlags, XattrFlags},
    io::Errno,
};

use super::{
    idmap::make_user_namespace,
    overlay::{Layers, Opened, OverlayOptions, detached},
};
use crate::{During, RuntimeError};

/// See [`probe_overlay`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverlayFeatures {
    /// Contents in layers of their own, found by `trusted.overlay.redirect`.
    pub data_only: bool,
    /// The same by `user.overlay.redirect`, with the option `userxattr`.
    pub userxattr_metacopy: bool,
    /// Layers, the written one included, with the ids of a user namespace.
    pub id_mapped: bool,
}

/// The content that has to come through.
const CONTENT: &str = "content";
/// An id that nobody has by chance.
const SHIFTED: u32 = 1_234_567;

/// Tries out what overlay can do with layers in `folder`. Nothing is mounted anywhere, nothing stays.
///
/// # Errors
/// [`RuntimeError::Step`] where nothing can be written into the folder.
pub fn probe_overlay(folder: &Path) -> Result<OverlayFeatures, RuntimeError> {
    let trial = Trial::new(folder)?;
    Ok(OverlayFeatures {
        data_only: trial.data_only("trusted")?,
        userxattr_metacopy: trial.data_only("user")?,
        id_mapped: trial.id_mapped()?,
    })
}

/// A folder that goes away.
struct Trial(PathBuf);

impl Drop for Trial {
    fn drop(&mut self) {
        // What cannot be removed is of no harm; its name says what it was.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Trial {
    fn new(folder: &Path) -> Result<Self, RuntimeError> {
        for number in 0_u32.. {
            let path = folder.join(format!(".overlay-probe-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).during(|| format!("trying overlay in {}", folder.display())),
            }
        }
        Err(Errno::EXIST).during(|| format!("trying overlay in {}", folder.display()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn folders(&self, names: &[String]) -> Result<Vec<PathBuf>, RuntimeError> {
        names
            .iter()
            .map(|name| {
                let path = self.path(name);
                fs::create_dir(&path).during(|| format!("making {}", path.display()))?;
                Ok(path)
            })
            .collect()
    }

    /// `class` is the first word of the marks' names.
    fn data_only(&self, class: &str) -> Result<bool, RuntimeError> {
        let names = ["meta", "data", "upper", "work"].map(|name| format!("{name}-{class}"));
        let folders = self.folders(&names)?;
        let [meta, data, upper, work] = &folders[..] else { return Ok(false) };
        let (file, object) = (meta.join("file"), data.join("object"));
        let step = || format!("writing {}", file.display());
        fs::write(&object, CONTENT).during(step)?;
        fs::File::create(&file).and_then(|file| file.set_len(CONTENT.len() as u64)).during(step)?;
        for (name, value) in [("metacopy", ""), ("redirect", "/object")] {
            let name = OsString::from(format!("{class}.overlay.{name}"));
            match rustix::fs::setxattr(&file, &name, value.as_bytes(), XattrFlags::empty()) {
                // Who may not set them, or a filesystem without: absence is the answer.
                Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL) => return Ok(false),
                answer => answer.during(step)?,
            }
        }
        let layers = Layers { lowers: &[meta], data_only: &[data], upper: Some((upper, work)) };
        let options = OverlayOptions { userxattr: class == "user", ..OverlayOptions::default() };
        let Ok(mount) = detached(&Opened::open(&layers, None)?, options) else { return Ok(false) };
        Ok(content(&mount, "file").as_deref() == Some(CONTENT))
    }

    fn id_mapped(&self) -> Result<bool, RuntimeError> {
        let folders = self.folders(&["lower", "upper", "work"].map(|name| format!("{name}-ids")))?;
        let [lower, upper, work] = &folders[..] else { return Ok(false) };
        let file = lower.join("file");
        fs::write(&file, CONTENT).during(|| format!("writing {}", file.display()))?;
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (Some(users), Some(groups)) = (shifted(user), shifted(group)) else { return Ok(false) };
        let Ok(namespace) = make_user_namespace(&[users], &[groups]) else { return Ok(false) };
        let layers = Layers { lowers: &[lower], data_only: &[], upper: Some((upper, work)) };
        let Ok(opened) = Opened::open(&layers, Some(namespace.as_fd())) else { return Ok(false) };
        let Ok(mount) = detached(&opened, OverlayOptions::default()) else { return Ok(false) };
        let found = rustix::fs::statat(&mount, "file", rustix::fs::AtFlags::empty());
        Ok(found.is_ok_and(|found| found.st_uid == SHIFTED && found.st_gid == SHIFTED))
    }
}

fn shifted(id: u32) -> Option<LinuxIdMapping> {
    LinuxIdMappingBuilder::default().container_id(id).host_id(SHIFTED).size(1_u32).build().ok()
}

fn content(mount: &OwnedFd, name: &str) -> Option<String> {
    let file = rustix::fs::openat(mount, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = String::new();
    fs::File::from(file).read_to_string(&mut text).ok()?;
    Some(text)
}
