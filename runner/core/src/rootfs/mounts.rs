//! The child's part of the specification's mounts, in their order.

use std::{cell::RefCell, os::fd::AsFd, path::Path};

use rustix::{
    fs::{self},
    io::Errno,
};

use super::{
    cgroup, copy_up,
    filesystem::{self, Refusal},
    inside::{Content, Inside, Place},
    options::{Attributes, Options, Propagation},
    plan::{self, Defaults, Planned, STAND_IN, Source, What},
    resolve::{self, Kind, Links},
    tree::Tree,
};
use crate::{During, RuntimeError};

/// Mounts that become read-only only when everything is in them: field and mount.
pub(super) type Later = RefCell<Vec<(String, Tree)>>;

/// Mounts one of them.
pub(super) fn mount(
    inside: &Inside,
    later: &Later,
    mount: &Planned,
    defaults: &Defaults,
) -> Result<(), RuntimeError> {
    match &mount.what {
        What::Bind(source) => bind(inside, mount, source, defaults),
        What::Cgroup(cgroups) => {
            cgroup::mount(inside, &mount.field, &mount.destination, &mount.options, cgroups)
        }
        What::Remount => remount(inside, mount),
        What::Filesystem { kind, source, instead } => {
            New { inside, later, mount, kind, source }.mount(instead.as_ref())
        }
    }
}

fn bind(inside: &Inside, mount: &Planned, source: &Source, defaults: &Defaults) -> Result<(), RuntimeError> {
    let Planned { field, destination, options, .. } = mount;
    let own;
    let tree = match &source.tree {
        Some(tree) => tree,
        None => {
            own = Tree::of_path(&source.path, options.bind.unwrap_or(false))
                .map_err(|errno| plan::unreadable(field, &source.path, errno))?;
            plan::prepare(field, &own, options, defaults)?;
            &own
        }
    };
    let step = || format!("{field}: reading what {} is", source.path.display());
    let content =
        if resolve::is_procfs(tree.as_fd()).during(step)? { Content::Procfs } else { Content::Other };
    let kind = Kind::of(tree.as_fd()).during(step)?;
    let place = inside.place(&format!("{field}.destination"), destination, kind, Links::Followed, content)?;
    inside.attach(field, tree, &place)
}

fn remount(inside: &Inside, mount: &Planned) -> Result<(), RuntimeError> {
    let Planned { field, destination, options, .. } = mount;
    let place = inside.present(&format!("{field}.destination"), destination)?;
    if !options.data.is_empty() || !options.flags.is_empty() {
        filesystem::reconfigured(place.as_fd(), options)
            .map_err(Refusal::into_error)
            .during(|| format!("{field}: changing the filesystem at {}", destination.display()))?;
    }
    let tree = Tree::from(place.into_file());
    let changed = plan::prepare(field, &tree, options, &Defaults::default());
    changed.map_err(|error| match error {
        RuntimeError::Step { source, .. } if source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
            RuntimeError::Spec {
                field: format!("{field}.destination"),
                rule: format!("nothing is mounted at {} that could be remounted", destination.display()),
            }
        }
        error => error,
    })?;
    tree.settle(inside.descriptors())
        .during(|| format!("{field}: changing the mount at {}", destination.display()))
}

/// A new instance of a filesystem on its way to its place.
struct New<'a> {
    inside: &'a Inside,
    later: &'a Later,
    mount: &'a Planned,
    kind: &'a str,
    source: &'a str,
}

impl New<'_> {
    fn mount(&self, instead: Option<&Source>) -> Result<(), RuntimeError> {
        // What programs and this runtime trust to be the kernel's may not be anywhere else than at its name.
        let (links, content) = match self.kind {
            "proc" => (Links::Refused, Content::Procfs),
            "sysfs" => (Links::Refused, Content::Other),
            _ => (Links::Followed, Content::Other),
        };
        let Planned { field, destination, .. } = self.mount;
        let field = format!("{field}.destination");
        let place = self.inside.place(&field, destination, Kind::Directory, links, content)?;
        let mut options = self.mount.options.clone();
        if self.kind == "tmpfs" && !options.data.iter().any(|(key, _)| key == "mode") {
            // The folder of the image keeps its mode.
            let mode = fs::fstat(&place).during(|| format!("{field}: reading its mode"))?.st_mode & 0o7777;
            options.data.push(("mode".into(), Some(format!("{mode:o}"))));
        }
        if filesystem::needs_old_call(self.source, &options) {
            return self.old(&options, &place);
        }
        // A folder in memory takes mount points and files before it is closed.
        let is_later = self.kind == "tmpfs" && options.attributes.is_read_only();
        let attributes = if is_later { options.attributes.writable() } else { options.attributes };
        match self.detached(&mut options, attributes) {
            Ok(tree) => self.attach(tree, &options, &place, is_later),
            Err(refusal) => match (refusal.errno(), instead) {
                (Errno::NOSYS, _) => self.old(&options, &place),
                (Errno::PERM | Errno::ACCESS | Errno::BUSY, Some(source)) => {
                    self.instead(source, &options, &place)
                }
                _ => Err(self.refused(refusal)),
            },
        }
    }

    /// A user namespace without the group of terminals cannot give them to it: they stay with their user's group.
    fn detached(&self, options: &mut Options, attributes: Attributes) -> Result<Tree, Refusal> {
        match filesystem::detached(self.kind, self.source, options, attributes) {
            Err(Refusal::Option { option, errno: Errno::INVAL, .. })
                if self.kind == "devpts" && option.starts_with("gid=") =>
            {
                options.data.retain(|(key, _)| key != "gid");
                filesystem::detached(self.kind, self.source, options, attributes)
            }
            answer => answer,
        }
    }

    fn attach(
        &self,
        tree: Tree,
        options: &Options,
        place: &Place,
        is_later: bool,
    ) -> Result<(), RuntimeError> {
        let field = &self.mount.field;
        if options.copy_up {
            let step = || format!("{field}: copying {} into its tmpfs", self.mount.destination.display());
            copy_up::copy(place.as_fd(), tree.as_fd()).during(step)?;
        }
        for propagation in &options.propagation {
            tree.propagate(*propagation).during(|| format!("{field}.options: changing the mount"))?;
        }
        plan::recursive(field, &tree, options)?;
        self.inside.attach(field, &tree, place)?;
        if is_later {
            self.later.borrow_mut().push((field.clone(), tree));
        }
        Ok(())
    }

    /// Binds the host's.
    fn instead(&self, source: &Source, options: &Options, place: &Place) -> Result<(), RuntimeError> {
        let field = &self.mount.field;
        let step = || format!("{field}: binding {} of the host", source.path.display());
        let own;
        let tree = match &source.tree {
            Some(tree) => tree,
            None => {
                own = Tree::of_path(&source.path, true).during(step)?;
                &own
            }
        };
        let wanted = Options { bind: Some(true), data: Vec::new(), ..options.clone() };
        let slave = Defaults { propagation: Some(Propagation::SLAVE), label: None };
        plan::prepare(field, tree, &wanted, &slave)?;
        if self.kind == "sysfs" {
            tree.change(STAND_IN, true).during(step)?;
        }
        self.inside.attach(field, tree, place)
    }

    /// By the call that takes long options and that kernels without the new one have.
    fn old(&self, options: &Options, place: &Place) -> Result<(), RuntimeError> {
        let Planned { field, destination, .. } = self.mount;
        filesystem::by_old_call(self.kind, self.source, options, place.as_fd(), self.inside.descriptors())
            .map_err(|refusal| self.refused(refusal))?;
        let mounted = self.inside.present(&format!("{field}.destination"), destination)?;
        let tree = Tree::from(mounted.into_file());
        let change = Options { attributes: Attributes::default(), ..options.clone() };
        plan::prepare(field, &tree, &change, &Defaults::default())?;
        tree.settle(self.inside.descriptors()).during(|| format!("{field}: changing the mount"))
    }

    fn refused(&self, refusal: Refusal) -> RuntimeError {
        let Planned { field, destination, .. } = self.mount;
        let (kind, shown) = (self.kind, destination.display());
        match refusal {
            Refusal::Unknown => RuntimeError::Unsupported {
                what: format!("{field}: the filesystem {kind}"),
                why: "the kernel has none of this name, or its module is not loaded".into(),
            },
            Refusal::Option { option, errno: Errno::INVAL, says } => RuntimeError::Spec {
                field: format!("{field}.options"),
                rule: format!("{option:?} is no option that {kind} has, or no value for it{says}"),
            },
            Refusal::Instance { errno: Errno::PERM, .. } if kind == "proc" || kind == "sysfs" => {
                RuntimeError::Unsupported {
                    what: format!("{field}: a new {kind}"),
                    why: format!(
                        "the kernel refuses it: in a user namespace /{} of the host has to be visible as a whole, and \
                         its namespaces have to belong to the user namespace",
                        if kind == "proc" { "proc" } else { "sys" }
                    ),
                }
            }
            refusal => RuntimeError::Step {
                step: format!("{field}: mounting {kind} at {shown}"),
                source: refusal.into_error(),
            },
        }
    }
}

/// Makes those read-only that were kept writable for the mounts and devices in them.
pub(super) fn close(inside: &Inside, later: &Later) -> Result<(), RuntimeError> {
    for (field, tree) in later.borrow().iter() {
        let step = || format!("{field}: making it read-only");
        tree.change(Attributes::READ_ONLY, false).during(step)?;
        tree.settle(inside.descriptors()).during(step)?;
    }
    Ok(())
}

/// The root itself: a tree of the host's, as the parent copied it or as the child can.
pub(super) fn root(path: &Path) -> Result<Tree, RuntimeError> {
    Tree::of_path(path, true).map_err(|errno| no_root(path, errno))
}

/// Why there is no root.
pub(super) fn no_root(path: &Path, errno: Errno) -> RuntimeError {
    match errno {
        Errno::NOENT => RuntimeError::Spec {
            field: "root.path".into(),
            rule: format!("{} does not exist: unpack an image there", path.display()),
        },
        Errno::NOTDIR => RuntimeError::Spec {
            field: "root.path".into(),
            rule: format!("{} is not a directory", path.display()),
        },
        _ => {
            RuntimeError::Step { step: format!("opening the root {}", path.display()), source: errno.into() }
        }
    }
}
