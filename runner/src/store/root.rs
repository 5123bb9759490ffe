//! The roots of containers.

use std::{
    fs,
    io::ErrorKind,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use berth_runtime::{OverlayOptions, make_user_namespace, mount_overlay, unmount};
use oci_spec::runtime::{LinuxIdMapping, LinuxIdMappingBuilder};

use super::{
    Store,
    images::Record,
    lower::{Lower, look},
    passed::{self, Passed, copy_attributes},
};
use crate::{
    error::{Result, RunnerError, While},
    record::{Desired, IdMap, Records, UserNamespace, files, remove_tree},
    rootless,
    unpack::OverlayNames,
};

/// Whether something is mounted at a folder.
pub(crate) fn is_mounted(path: &Path) -> Result<bool> {
    let (Some(found), Some(parent)) = (look(path)?, path.parent()) else { return Ok(false) };
    let parent = fs::metadata(parent).doing("looking at", parent)?;
    Ok(found.dev() != parent.dev())
}

/// A map in the words of the runtime specification.
pub(crate) fn mapping(maps: &[IdMap]) -> Result<Vec<LinuxIdMapping>> {
    let one = |map: &IdMap| {
        let built =
            LinuxIdMappingBuilder::default().container_id(map.container).host_id(map.host).size(map.size);
        built.build().map_err(|error| RunnerError::Usage(format!("ids of the user namespace: {error}")))
    };
    maps.iter().map(one).collect()
}

impl Store {
    /// Mounts a container's root (layers, then its own `upper`) at `running/root` and says where that is. Done in the
    /// mount namespace of the caller: the supervisor's own, so that it goes with it. Idempotent. With `--rootfs` it is
    /// that folder, and nothing is mounted.
    ///
    /// # Errors
    /// Where a layer is missing or the kernel cannot do it.
    pub(crate) fn mount_root(&self, desired: &Desired) -> Result<PathBuf> {
        if let Some(rootfs) = &desired.rootfs {
            return Ok(rootfs.clone());
        }
        let target = self.folders.running(&desired.id).join("root");
        if is_mounted(&target)? {
            return Ok(target);
        }
        self.make_copy(desired)?;
        let lower = self.lower_of(desired)?;
        let container = self.folders.container(&desired.id);
        let (upper, work) = (container.join("upper"), container.join("work"));
        let passed = self.passed(&lower)?;
        prepare_upper(&lower, &upper, &passed)?;
        files::private_folder(&work)?;
        // A mount with `volatile` leaves a mark that stops the next one. What was written is what there is.
        let mark = work.join("work/incompat");
        match remove_tree(&mark) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).doing("removing", mark),
            Ok(()) | Err(_) => {}
        }
        files::private_folder(&target)?;
        let ids = self.namespace_of(desired)?;
        let options = OverlayOptions {
            id_map: ids.as_ref().map(AsFd::as_fd),
            volatile: desired.auto_remove,
            ..OverlayOptions::default()
        };
        self.mount(&lower, &passed, (&upper, &work), &target, options)?;
        Ok(target)
    }

    /// A folder with nothing in it.
    pub(super) fn empty(&self) -> Result<PathBuf> {
        let empty = self.folders.store.join("empty");
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&empty).doing("making", &empty)?;
        Ok(empty)
    }

    /// Takes it away; safe to repeat.
    ///
    /// # Errors
    /// Where it is busy.
    pub(crate) fn unmount_root(&self, desired: &Desired) -> Result<()> {
        let target = self.folders.running(&desired.id).join("root");
        while desired.rootfs.is_none() && is_mounted(&target)? {
            unmount(&target)?;
        }
        Ok(())
    }

    pub(super) fn mount(
        &self,
        lower: &Lower,
        passed: &Passed,
        (upper, work): (&Path, &Path),
        target: &Path,
        options: OverlayOptions<'_>,
    ) -> Result<()> {
        let overlay = if lower.layers.is_empty() { self.overlay()? } else { lower.overlay()? };
        let options = OverlayOptions { userxattr: overlay == OverlayNames::User, ..options };
        let mut lowers: Vec<&Path> = Vec::with_capacity(lower.layers.len() + 1);
        if let Passed::There(folders) = passed {
            lowers.push(folders);
        }
        lowers.extend(lower.layers.iter().map(|(tree, _)| tree.as_path()));
        // Overlay wants something below what is written.
        let empty;
        if lowers.is_empty() {
            empty = self.empty()?;
            lowers.push(&empty);
        }
        Ok(mount_overlay(&lowers, &[], Some((upper, work)), target, options)?)
    }

    pub(super) fn lower_of(&self, desired: &Desired) -> Result<Lower> {
        let image = desired.image.as_ref().ok_or_else(|| {
            RunnerError::Usage(format!(
                "container {} has no image: it runs in a folder of its own",
                desired.name
            ))
        })?;
        let record: Record = files::read_json(&self.record_file(&image.manifest))?.ok_or_else(|| {
            RunnerError::NotFound(format!("the image {} of container {} is gone", image.name, desired.name))
        })?;
        self.below(desired, Lower::open(self, &record.layers)?)
    }

    /// The namespace whose ids the files get, where it is not the runner's own.
    fn namespace_of(&self, desired: &Desired) -> Result<Option<OwnedFd>> {
        // Mounts of an ordinary user cannot be id-mapped: files have the ids of the user's namespace.
        if rootless::is_inside() {
            return Ok(None);
        }
        match &desired.isolation.user {
            UserNamespace::Host => Ok(None),
            UserNamespace::Private { uids, gids } => {
                Ok(Some(make_user_namespace(&mapping(uids)?, &mapping(gids)?)?))
            }
            UserNamespace::Container(id) => {
                let other = Records::new(&self.folders).find(id.as_str())?;
                if matches!(other.isolation.user, UserNamespace::Container(_)) {
                    return Err(RunnerError::Usage(format!(
                        "container {} shares the user namespace of another: name that one",
                        other.name
                    )));
                }
                self.namespace_of(&other)
            }
            UserNamespace::Path(path) => Ok(Some(fs::File::open(path).doing("opening", path)?.into())),
        }
    }
}

/// Makes the folder that is written, once. What the image's root is like, overlay would take from the wrong layer: it is
/// put here as the right one has it.
pub(super) fn prepare_upper(lower: &Lower, upper: &Path, passed: &Passed) -> Result<()> {
    if look(upper)?.is_some() {
        return Ok(());
    }
    let new = upper.with_extension("new");
    if look(&new)?.is_some() {
        remove_tree(&new).doing("removing", &new)?;
    }
    fs::create_dir(&new).doing("making", &new)?;
    let root = lower.layers.iter().find(|(_, facts)| !facts.implied.iter().any(|path| path.0.is_empty()));
    match root {
        Some((tree, _)) => copy_attributes(tree, &new)?,
        None => fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).doing("making", &new)?,
    }
    if matches!(passed, Passed::Beyond) {
        passed::fill(lower, &new)?;
    }
    fs::rename(&new, upper).doing("making", upper)
}
