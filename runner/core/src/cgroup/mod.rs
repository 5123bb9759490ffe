//! Control groups: version 2 (by folder or by systemd), version 1 and both beside each other.
//!
//! A controller is used where it is: in its own tree of version 1 when that is mounted writable, else in the unified
//! tree. So both at once need no rules of their own.

mod block;
mod cpu;
mod dbus;
mod device_filter;
mod devices;
mod events;
mod file;
mod folder;
mod freezer;
pub(crate) mod fuzzing;
mod hierarchy;
mod limits;
mod memory;
mod other;
mod stats;
mod systemd;

use std::{
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use oci_spec::runtime::LinuxResources;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

pub(crate) use self::hierarchy::controllers;
use self::{
    folder::NotMade,
    hierarchy::{Hierarchy, mounted},
    systemd::Scope,
};
use crate::{During, RuntimeError};

/// Who makes groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// Folders, made by us.
    #[default]
    Folder,
    /// Scopes, made by systemd over its bus.
    Systemd,
}

/// A container's group: one folder in version 2, one per controller in version 1. It is written into the container's
/// state, and what is read back means the same group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cgroup {
    driver: CgroupDriver,
    /// Controller (empty: the unified tree) and folder, absolute.
    folders: Vec<(String, PathBuf)>,
    /// Why there is no folder, or not everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// With systemd, the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    /// With systemd, what waits for the first process, without which there is no unit.
    #[serde(skip)]
    waiting: Option<Option<LinuxResources>>,
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time, microseconds.
    pub cpu_usec: u64,
    /// Of it, in the container's own code.
    pub cpu_user_usec: u64,
    /// Of it, in the kernel.
    pub cpu_system_usec: u64,
    /// Periods in which it was held back.
    pub cpu_throttled_periods: u64,
    /// Memory in use, bytes, without what the kernel can drop at once (inactive files).
    pub memory_bytes: u64,
    /// The limit; `None` is none.
    pub memory_limit_bytes: Option<u64>,
    /// The most that was in use.
    pub memory_peak_bytes: Option<u64>,
    /// Times that the kernel ended a process for want of memory.
    pub oom_kills: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Their limit; `None` is none.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub read_bytes: u64,
    /// Bytes written to block devices.
    pub write_bytes: u64,
}

/// Where a group is to be, relative to a hierarchy.
struct Place {
    relative: PathBuf,
    /// Below the mount; else below the caller's own group.
    from_top: bool,
}

impl Place {
    fn of(path: Option<&Path>, id: &str) -> Result<Self, RuntimeError> {
        let asked = path.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(id));
        let mut relative = PathBuf::new();
        for part in asked.components() {
            match part {
                Component::Normal(name) => relative.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(RuntimeError::Spec {
                        field: "linux.cgroupsPath".into(),
                        rule: format!("{} contains ..: name the group below the top", asked.display()),
                    });
                }
            }
        }
        if relative.as_os_str().is_empty() {
            return Err(RuntimeError::Spec {
                field: "linux.cgroupsPath".into(),
                rule: format!(
                    "{} is the top group, which has no limits: name a group below it",
                    asked.display()
                ),
            });
        }
        Ok(Self { relative, from_top: asked.is_absolute() || rustix::process::geteuid().is_root() })
    }
}

impl Cgroup {
    /// Makes the group and sets its limits. `path` is `linux.cgroupsPath`; without one the group has the name of the
    /// container below the caller's own group (below the root for root). Where the user may make no group and
    /// no limit is asked for, the answer is a group without folders; where a limit is asked for, an error.
    ///
    /// Devices are refused but those of `resources.devices` and the usual ones, where the caller may set that.
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`] for a limit whose controller is not there, with the controller's name and the
    /// way out; [`RuntimeError::Step`].
    pub fn create(
        driver: CgroupDriver,
        path: Option<&Path>,
        id: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, RuntimeError> {
        Self::create_on(Path::new("/"), driver, path, id, resources)
    }

    fn create_on(
        root: &Path,
        driver: CgroupDriver,
        path: Option<&Path>,
        id: &str,
        resources: Option<&LinuxResources>,
    ) -> Result<Self, RuntimeError> {
        if driver == CgroupDriver::Systemd {
            return Self::planned(Scope::of(path, id, root)?, root, resources);
        }
        let place = Place::of(path, id)?;
        let mut group = Self::empty(driver);
        let done = mounted(root)?
            .iter()
            .try_for_each(|hierarchy| group.enter(hierarchy, &place, resources))
            .and_then(|()| group.set(resources));
        match done {
            Ok(()) => Ok(group),
            Err(error) => {
                // Nothing runs in it yet. The first error is the one that tells.
                let _ = group.delete();
                Err(error)
            }
        }
    }

    fn empty(driver: CgroupDriver) -> Self {
        Self { driver, folders: Vec::new(), refused: None, scope: None, waiting: None }
    }

    /// A group that systemd will make when the first process is there.
    fn planned(scope: Scope, root: &Path, resources: Option<&LinuxResources>) -> Result<Self, RuntimeError> {
        let relative = scope.manager_group()?.join(scope.folder()?);
        let mut group = Self {
            waiting: Some(resources.cloned()),
            scope: Some(scope),
            ..Self::empty(CgroupDriver::Systemd)
        };
        group.folders = mounted(root)?
            .into_iter()
            .map(|hierarchy| (hierarchy.options, hierarchy.mount.join(&relative)))
            .collect();
        Ok(group)
    }

    /// Has systemd make the group around its first process, and sets what waited for it.
    fn start(&self, scope: &Scope, pid: i32, resources: Option<&LinuxResources>) -> Result<(), RuntimeError> {
        scope.start(pid.unsigned_abs(), resources)?;
        let relative = scope.folder()?;
        for (options, folder) in
            self.folders.iter().filter(|(options, _)| !options.is_empty() && options != "name=systemd")
        {
            let top = folder.ancestors().nth(relative.components().count()).unwrap_or(folder);
            let hierarchy =
                Hierarchy { options: options.clone(), mount: top.to_owned(), own: top.to_owned() };
            match folder::make(&hierarchy, folder, &[]) {
                Ok(()) => {}
                Err(NotMade::Failed(error)) => return Err(error),
                Err(NotMade::Forbidden(why)) => {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
                        .during(|| format!("making the control group {}", folder.display()));
                }
            }
        }
        self.set(resources)
    }

    /// The group that [`Self::create`] makes of the same arguments, as far as it is there and nothing runs in it: what
    /// a runtime left that was ended before it could write the group down.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn left_over(driver: CgroupDriver, path: Option<&Path>, id: &str) -> Result<Self, RuntimeError> {
        let root = Path::new("/");
        if driver == CgroupDriver::Systemd {
            let mut group = Self::planned(Scope::of(path, id, root)?, root, None)?;
            group.waiting = None;
            let folders = std::mem::take(&mut group.folders);
            for (options, folder) in folders {
                if folder.is_dir() && processes_below(&folder)?.is_empty() {
                    group.folders.push((options, folder));
                }
            }
            return Ok(group);
        }
        let place = Place::of(path, id)?;
        let mut group = Self::empty(driver);
        for hierarchy in mounted(root)? {
            let top = if place.from_top { &hierarchy.mount } else { &hierarchy.own };
            for level in top.ancestors().take_while(|level| level.starts_with(&hierarchy.mount)) {
                let folder = level.join(&place.relative);
                if folder.is_dir() && processes_below(&folder)?.is_empty() {
                    group.folders.push((hierarchy.options.clone(), folder));
                    break;
                }
                if place.from_top || !hierarchy.unified() {
                    break;
                }
            }
        }
        Ok(group)
    }

    /// Makes the folder of one hierarchy.
    fn enter(
        &mut self,
        hierarchy: &Hierarchy,
        place: &Place,
        resources: Option<&LinuxResources>,
    ) -> Result<(), RuntimeError> {
        let top = if place.from_top { &hierarchy.mount } else { &hierarchy.own };
        let mut refused = None;
        // A group in which the caller itself is gives its controllers to none below it. So a user's container goes
        // beside it, or further up, as far as the groups are the user's.
        let above = top.ancestors().take_while(|level| level.starts_with(&hierarchy.mount));
        let candidates = if hierarchy.unified() && !place.from_top { usize::MAX } else { 1 };
        for top in above.take(candidates) {
            let folder = top.join(&place.relative);
            match folder::make(hierarchy, &folder, &limits::wanted(resources)) {
                Ok(()) => {}
                Err(NotMade::Forbidden(why)) => {
                    refused.get_or_insert(why);
                    break;
                }
                Err(NotMade::Failed(error)) => {
                    // Only an empty group goes by this.
                    let _ = std::fs::remove_dir(&folder);
                    return Err(error);
                }
            }
            let here = (hierarchy.options.clone(), folder);
            if candidates == 1 || limits::has_all(&here.1, resources)? {
                self.folders.push(here);
                return Ok(());
            }
            folder::remove(&here.1)?;
        }
        if candidates > 1 && !limits::wanted(resources).is_empty() {
            // Made again where the limit's error can say what is missing.
            let folder = top.join(&place.relative);
            if folder::make(hierarchy, &folder, &limits::wanted(resources)).is_ok() {
                self.folders.push((hierarchy.options.clone(), folder));
                return Ok(());
            }
        }
        self.refused = self.refused.take().or(refused);
        Ok(())
    }

    fn set(&self, resources: Option<&LinuxResources>) -> Result<(), RuntimeError> {
        self.limit_devices(
            resources.and_then(|resources| resources.devices().as_deref()).unwrap_or_default(),
        )?;
        resources.map_or(Ok(()), |resources| self.apply(resources))
    }

    fn unified_folder(&self) -> Option<&Path> {
        self.v1_folder("")
    }

    /// The folder of a controller of version 1 (of the unified tree for an empty one).
    fn v1_folder(&self, controller: &str) -> Option<&Path> {
        let mut folders = self.folders.iter();
        folders
            .find(|(options, _)| options.split(',').any(|one| one == controller))
            .map(|(_, folder)| folder.as_path())
    }

    /// The unified folder for `CLONE_INTO_CGROUP`, where the container's controllers are all there: who was cloned into
    /// it needs no [`Self::add`].
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn unified(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        let [(options, folder)] = &self.folders[..] else { return Ok(None) };
        // Systemd makes the folder around a process that is there already.
        if !options.is_empty() || (self.scope.is_some() && !folder.is_dir()) {
            return Ok(None);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(folder, flags, Mode::empty())
            .map(Some)
            .during(|| format!("opening {}", folder.display()))
    }

    /// Whether a process may make its mounts before it is in the group: with version 1 they are copies of folders that
    /// are there already. In version 2 they are of the cgroup namespace, and systemd makes the group around its process.
    pub(crate) fn may_be_late(&self) -> bool {
        self.scope.is_none() && self.folders.iter().any(|(options, _)| !options.is_empty())
    }

    /// Puts a process into every folder. The first write takes the kernel some milliseconds, the others nearly none.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn add(&self, pid: i32) -> Result<(), RuntimeError> {
        if let (Some(scope), Some(resources)) = (&self.scope, &self.waiting)
            && !self
                .folders
                .iter()
                .any(|(options, folder)| folder.is_dir() && ["", "name=systemd"].contains(&&**options))
        {
            self.start(scope, pid, resources.as_ref())?;
        }
        let pid = pid.to_string();
        self.folders.iter().try_for_each(|(_, folder)| file::write(&folder.join("cgroup.procs"), &pid))
    }

    /// Changes limits; what is not named stays.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn update(&self, resources: &LinuxResources) -> Result<(), RuntimeError> {
        if let Some(devices) = resources.devices() {
            self.limit_devices(devices)?;
        }
        self.apply(resources)?;
        // Last: only limits that hold are to be kept.
        self.scope.as_ref().map_or(Ok(()), |scope| scope.update(resources))
    }

    /// Its processes, those of groups below it included.
    ///
    /// # Errors
    /// [`RuntimeError::Step`].
    pub fn processes(&self) -> Result<Vec<i32>, RuntimeError> {
        // The unified tree where it is there: nobody but us adds to it. In version 1 every tree has them all.
        let folder =
            self.unified_folder().or_else(|| self.folders.first().map(|(_, folder)| folder.as_path()));
        folder.map_or(Ok(Vec::new()), processes_below)
    }

    /// Removes it, with the groups that the container made below it. Safe to repeat. Processes that were killed get ten
    /// seconds to end.
    ///
    /// # Errors
    /// [`RuntimeError::Step`], also when processes in it do not end.
    pub fn delete(&self) -> Result<(), RuntimeError> {
        // All are tried, the first error is told.
        let mut done = Ok(());
        for (_, folder) in &self.folders {
            done = done.and(folder::remove(folder));
        }
        done
    }

    /// How it is seen from a mount of type `cgroup` in the container: per hierarchy the options of its mount
    /// (`memory`, `cpu,cpuacct`, `name=systemd`; empty for the unified one) and the folder.
    #[must_use]
    pub fn views(&self) -> Vec<(String, PathBuf)> {
        self.folders.clone()
    }
}

/// The processes of a group and of those below it.
fn processes_below(folder: &Path) -> Result<Vec<i32>, RuntimeError> {
    let path = folder.join("cgroup.procs");
    let mut processes = Vec::new();
    match std::fs::read_to_string(&path) {
        // 0 is a process that is not to be seen from here.
        Ok(text) => {
            processes.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid != 0))
        }
        Err(error) if file::gone(&error) => return Ok(processes),
        // A threaded group; the group above it lists the processes.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(error) => return Err(error).during(|| format!("reading {}", path.display())),
    }
    for child in folder::children(folder)? {
        processes.extend(processes_below(&child)?);
    }
    processes.sort_unstable();
    processes.dedup();
    Ok(processes)
}

#[cfg(test)]
mod kernel_tests;
#[cfg(test)]
mod tests;
