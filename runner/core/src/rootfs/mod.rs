//! The container's root: everything mounted, devices, masked paths, and the step into it.
//!
//! [`Rootfs::plan`] runs in the parent, which still sees the machine's files and may make id-mapped mounts; the other
//! steps run in the child, in this order, in its new mount namespace: [`Rootfs::mount`], [`Rootfs::pivot`],
//! [`Rootfs::seal`]. The createContainer hooks run between the first two.
//!
//! Trust is in descriptors. A place in the root is found by the kernel below a descriptor of the root ([`resolve`]), a mount
//! is made detached, changed, and put onto the descriptor of its place ([`tree`]); no path of the image is ever joined
//! to a path of the host. It needs Linux 5.6 (`openat2`); id-mapped mounts and recursive attributes need 5.12.

pub(crate) mod bind;
mod cgroup;
mod copy_up;
mod device;
mod filesystem;
pub(crate) mod holes;
pub(crate) mod idmap;
mod inside;
mod mounts;
mod options;
pub(crate) mod overlay;
mod pivot;
mod plan;
pub(crate) mod probe;
mod resolve;
mod seal;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use options::fuzzed as options_fuzzed;

use std::{
    cell::OnceCell,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::{
    fs::{self, CWD, Mode, OFlags},
    io::Errno,
};

use self::{
    device::Device,
    inside::Inside,
    mounts::Later,
    options::{Attributes, Propagation},
    plan::{Defaults, Planned, Source, What},
    resolve::Descriptors,
    seal::Cover,
    tree::Tree,
};
use crate::{Cgroup, During, RuntimeError};

/// The plan of a root, with descriptors of what the child could not open itself.
#[derive(Debug)]
pub(crate) struct Rootfs {
    root: Source,
    mounts: Vec<Planned>,
    defaults: Defaults,
    devices: Vec<Device>,
    /// `/dev` is not a bind of the host's, so it is filled.
    fresh_dev: bool,
    masked: Vec<PathBuf>,
    read_only_paths: Vec<PathBuf>,
    read_only: bool,
    propagation: Option<Propagation>,
    no_pivot: bool,
    /// What the child has made.
    mounted: OnceCell<Mounted>,
}

#[derive(Debug)]
struct Mounted {
    inside: Inside,
    null: Cover,
    later: Later,
}

/// What the plan has to know besides the specification.
#[derive(Debug)]
pub(crate) struct RootfsOf<'a> {
    /// The bundle's folder, to which `root.path` is relative.
    pub(crate) bundle: &'a Path,
    /// What to make.
    pub(crate) spec: &'a Spec,
    /// The container's group, for mounts of type `cgroup`.
    pub(crate) cgroup: &'a Cgroup,
    /// The user namespace that the container will have, where it has one of its own (made or joined): ids of
    /// id-mapped mounts are its ids.
    pub(crate) user_namespace: Option<BorrowedFd<'a>>,
    /// `chroot` in place of `pivot_root`.
    pub(crate) no_pivot: bool,
}

/// Binds that say nothing about propagation take it from the root, as they do where runtimes bind from a root that was
/// changed before: shared roots leave them in the peer group of their source, private ones separate them.
fn inherited(propagation: Option<Propagation>) -> Option<Propagation> {
    match propagation.map(|propagation| propagation.kind) {
        Some(libc::MS_SHARED) => None,
        Some(libc::MS_PRIVATE) => Some(Propagation { kind: libc::MS_PRIVATE, recursive: true }),
        _ => Some(Propagation::SLAVE),
    }
}

fn paths(words: Option<&Vec<String>>) -> Vec<PathBuf> {
    words.into_iter().flatten().map(|path| Path::new("/").join(path)).collect()
}

impl Rootfs {
    /// Opens what has to be opened outside and checks the mounts.
    pub(crate) fn plan(of: &RootfsOf<'_>) -> Result<Self, RuntimeError> {
        let linux = of.spec.linux().as_ref();
        let namespaces = linux.and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
        if !namespaces.iter().any(|one| one.typ() == LinuxNamespaceType::Mount) {
            return Err(RuntimeError::Spec {
                field: "linux.namespaces".into(),
                rule: "has no mount namespace, so the container's mounts would be the host's: add {\"type\": \"mount\"}"
                    .into(),
            });
        }
        let propagation = match linux.and_then(|linux| linux.rootfs_propagation().as_deref()) {
            None | Some("") => None,
            Some(word) => Some(Propagation::parse(word).ok_or_else(|| RuntimeError::Spec {
                field: "linux.rootfsPropagation".into(),
                rule: format!(
                    "{word:?} is none of shared, slave, private and unbindable (or rshared and so on)"
                ),
            })?),
        };
        let Some(root) = of.spec.root() else {
            return Err(RuntimeError::Spec {
                field: "root".into(),
                rule: "is missing: give root.path".into(),
            });
        };
        let defaults = Defaults { propagation: inherited(propagation), label: plan::label(of.spec)? };
        let mounts = of.spec.mounts().as_deref().unwrap_or_default();
        let mounts: Vec<Planned> = mounts
            .iter()
            .enumerate()
            .map(|(index, mount)| Planned::new(of, index, mount, &defaults))
            .collect::<Result<_, _>>()?;
        let fresh_dev = !mounts.iter().any(|mount| {
            matches!(mount.what, What::Bind(_))
                && mount.destination.components().eq(Path::new("/dev").components())
        });
        Ok(Self {
            root: copied_root(&of.bundle.join(root.path()))?,
            mounts,
            defaults,
            devices: device::all(of.spec)?,
            fresh_dev,
            masked: paths(linux.and_then(|linux| linux.masked_paths().as_ref())),
            read_only_paths: paths(linux.and_then(|linux| linux.readonly_paths().as_ref())),
            read_only: root.readonly().unwrap_or(false),
            propagation,
            no_pivot: of.no_pivot,
            mounted: OnceCell::new(),
        })
    }

    /// Sets propagation, mounts the root and everything in it, makes devices and links.
    pub(crate) fn mount(&self) -> Result<(), RuntimeError> {
        pivot::isolate()?;
        let descriptors = Descriptors::open().map_err(|errno| RuntimeError::Unsupported {
            what: "/proc/self/fd".into(),
            why: format!("is not to be had ({}): mount procfs at /proc", std::io::Error::from(errno)),
        })?;
        let null = device::null()?.into();
        let inside = Inside::new(self.attached_root(&descriptors)?, descriptors)?;
        let later = Later::default();
        for mount in &self.mounts {
            mounts::mount(&inside, &later, mount, &self.defaults)?;
        }
        if self.fresh_dev {
            device::make(&inside, &self.devices)?;
        }
        self.mounted.set(Mounted { inside, null, later }).map_err(|_| RuntimeError::Step {
            step: "mounting the root a second time".into(),
            source: Errno::BUSY.into(),
        })
    }

    /// Puts the root where its path says, so that createContainer hooks find it there.
    fn attached_root(&self, descriptors: &Descriptors) -> Result<OwnedFd, RuntimeError> {
        let own;
        let tree = match &self.root.tree {
            Some(tree) => tree,
            None => {
                own = mounts::root(&self.root.path)?;
                slave(&own)?;
                &own
            }
        };
        let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let step = || format!("mounting the root {}", self.root.path.display());
        let place = match fs::openat(CWD, &self.root.path, folder, Mode::empty()) {
            // The container's root user may not reach the path. Any place does.
            Err(Errno::ACCESS) => fs::openat(CWD, "/", folder, Mode::empty()).during(step)?,
            answer => answer.map_err(|errno| mounts::no_root(&self.root.path, errno))?,
        };
        tree.attach(place.as_fd(), descriptors).during(step)?;
        tree.as_fd().try_clone_to_owned().during(step)
    }

    fn mounted(&self) -> Result<&Mounted, RuntimeError> {
        self.mounted.get().ok_or_else(|| RuntimeError::Step {
            step: "entering a root that is not mounted".into(),
            source: Errno::NOENT.into(),
        })
    }

    /// Makes it the root of this process; nothing of the old one stays reachable.
    pub(crate) fn pivot(&self) -> Result<(), RuntimeError> {
        let root = self.mounted()?.inside.root();
        if self.no_pivot { pivot::change_root(root) } else { pivot::pivot(root) }
    }

    /// What can be done only inside: sysctl excepted (see `process`), masked and read-only paths, a read-only root,
    /// the root's propagation.
    pub(crate) fn seal(&self) -> Result<(), RuntimeError> {
        let Mounted { inside, null, later } = self.mounted()?;
        mounts::close(inside, later)?;
        seal::read_only(inside, &self.read_only_paths)?;
        seal::mask(inside, null, &self.defaults.label, &self.masked)?;
        let root = Tree::from(inside.root().try_clone_to_owned().during(|| "holding the root".into())?);
        if self.read_only {
            root.change(Attributes::READ_ONLY, false)
                .during(|| "root.readonly: making the root read-only".into())?;
        }
        if let Some(propagation) = self.propagation {
            root.propagate(propagation).during(|| "linux.rootfsPropagation: changing the root".into())?;
        }
        root.settle(inside.descriptors()).during(|| "changing the root's mount".into())
    }
}

/// What is mounted below the root on the host comes along; nothing of the container goes there.
fn slave(root: &Tree) -> Result<(), RuntimeError> {
    root.propagate(Propagation::SLAVE).during(|| "separating the root from the host's mounts".into())
}

fn copied_root(path: &Path) -> Result<Source, RuntimeError> {
    let source = Source::copied(path.to_owned(), true).map_err(|errno| mounts::no_root(path, errno))?;
    if let Some(tree) = &source.tree {
        slave(tree)?;
    }
    Ok(source)
}
