//! The parent's part: the mounts of the specification, checked, with copies of what the child may be unable to open.

use std::{
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use rustix::io::Errno;

use super::{
    RootfsOf, cgroup,
    idmap::make_user_namespace,
    options::{Attributes, Options, Propagation},
    tree::Tree,
};
use crate::{During, RuntimeError};

/// One mount.
#[derive(Debug)]
pub(super) struct Planned {
    /// `mounts[3]`.
    pub(super) field: String,
    pub(super) destination: PathBuf,
    pub(super) options: Options,
    pub(super) what: What,
}

/// What is mounted.
#[derive(Debug)]
pub(super) enum What {
    /// Something of the host. Without a copy the child makes one: the parent was not allowed to.
    Bind(Source),
    /// A new instance of a filesystem; `instead` is bound where the user namespace does not own what it shows.
    Filesystem { kind: String, source: String, instead: Option<Source> },
    /// The container's control group.
    Cgroup(cgroup::Cgroups),
    /// Other options for what is there.
    Remount,
}

/// A path of the host and, where the parent could make it, a copy of what is mounted there.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) tree: Option<Tree>,
}

/// What mounts inherit from the whole container.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    /// Of binds that say nothing; `None` leaves them in the peer group of their source.
    pub(super) propagation: Option<Propagation>,
    /// Of the files of new filesystems.
    pub(super) label: Label,
}

/// Filesystems whose files have labels of their own, or none.
const UNLABELLED: [&str; 5] = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2"];

/// The parameter of a filesystem and its value that label all its files.
pub(super) type Label = Option<(&'static str, String)>;

/// What `linux.mountLabel` asks for.
pub(super) fn label(spec: &Spec) -> Result<Label, RuntimeError> {
    let text = spec.linux().as_ref().and_then(|linux| linux.mount_label().as_deref()).unwrap_or_default();
    if text.is_empty() { Ok(None) } else { crate::label::mount_context(text).map(Some) }
}

pub(super) fn is_new(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    namespaces.is_some_and(|all| all.iter().any(|one| one.typ() == kind && one.path().is_none()))
}

impl Source {
    /// Copies what is mounted at a path; without the right to do so only the path is known.
    pub(super) fn copied(path: PathBuf, recursive: bool) -> Result<Self, Errno> {
        match Tree::of_path(&path, recursive) {
            Ok(tree) => Ok(Self { path, tree: Some(tree) }),
            Err(Errno::PERM | Errno::NOSYS) => Ok(Self { path, tree: None }),
            Err(errno) => Err(errno),
        }
    }
}

/// A path of the host that may not be there, copied where it is.
fn instead(path: &str) -> Result<Option<Source>, RuntimeError> {
    match Source::copied(path.into(), false) {
        Err(Errno::NOENT) => Ok(None),
        answer => answer.map(Some).during(|| format!("copying the mount of {path}")),
    }
}

/// Gives a copied tree the options of its mount.
pub(super) fn prepare(
    field: &str,
    tree: &Tree,
    options: &Options,
    defaults: &Defaults,
) -> Result<(), RuntimeError> {
    let step = || format!("{field}.options: changing the mount");
    if options.propagation.is_empty()
        && let Some(propagation) = defaults.propagation
    {
        tree.propagate(propagation).during(step)?;
    }
    for propagation in &options.propagation {
        tree.propagate(*propagation).during(step)?;
    }
    tree.change(options.attributes, false).during(step)?;
    recursive(field, tree, options)
}

/// The attributes that hold for everything below as well.
pub(super) fn recursive(field: &str, tree: &Tree, options: &Options) -> Result<(), RuntimeError> {
    tree.change(options.recursive, true).map_err(|errno| match errno {
        Errno::NOSYS => RuntimeError::Unsupported {
            what: format!("{field}.options: recursive attributes (rro, rnosuid, ...)"),
            why: "the kernel is older than Linux 5.12: leave them out, or take ro, nosuid, ... for the mount itself"
                .into(),
        },
        _ => RuntimeError::Step { step: format!("{field}.options: changing the mounts below"), source: errno.into() },
    })
}

fn spec_error(field: String, rule: impl Into<String>) -> RuntimeError {
    RuntimeError::Spec { field, rule: rule.into() }
}

impl Planned {
    pub(super) fn new(
        of: &RootfsOf<'_>,
        index: usize,
        mount: &Mount,
        defaults: &Defaults,
    ) -> Result<Self, RuntimeError> {
        let field = format!("mounts[{index}]");
        if mount.destination().as_os_str().is_empty() {
            return Err(spec_error(format!("{field}.destination"), "is empty: say where to mount"));
        }
        let mut options = Options::parse(mount.options().as_deref().unwrap_or_default());
        let kind = mount.typ().as_deref().unwrap_or("none");
        let what = if options.remount {
            What::Remount
        } else if options.bind.is_some() || kind == "bind" {
            What::Bind(bind(of, &field, mount, &options, defaults)?)
        } else if kind == "cgroup" {
            What::Cgroup(cgroup::Cgroups::plan(of, &field, &options)?)
        } else {
            if !UNLABELLED.contains(&kind) {
                options.label(defaults.label.as_ref());
            }
            filesystem(of, &field, mount, kind)?
        };
        let planned = Self { field, destination: Path::new("/").join(mount.destination()), options, what };
        planned.check(mount)?;
        Ok(planned)
    }

    fn check(&self, mount: &Mount) -> Result<(), RuntimeError> {
        let Self { field, options, what, .. } = self;
        if options.copy_up && !matches!(what, What::Filesystem { kind, .. } if kind == "tmpfs") {
            return Err(spec_error(format!("{field}.options"), "tmpcopyup is for mounts of type tmpfs"));
        }
        let mapped =
            options.id_map.is_some() || mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
        if mapped && !matches!(what, What::Bind(_)) {
            return Err(spec_error(format!("{field}.options"), "idmap and uidMappings are for bind mounts"));
        }
        Ok(())
    }
}

fn filesystem(of: &RootfsOf<'_>, field: &str, mount: &Mount, kind: &str) -> Result<What, RuntimeError> {
    if kind == "none" || kind.is_empty() {
        return Err(spec_error(
            format!("{field}.type"),
            "is missing: give the filesystem's name, or one of the options bind, rbind and remount",
        ));
    }
    let instead = match kind {
        "sysfs" if !is_new(of.spec, LinuxNamespaceType::Network) => instead("/sys")?,
        "proc" if !is_new(of.spec, LinuxNamespaceType::Pid) => instead("/proc")?,
        "mqueue" if !is_new(of.spec, LinuxNamespaceType::Ipc) => instead("/dev/mqueue")?,
        _ => None,
    };
    let source =
        mount.source().as_ref().map_or_else(|| kind.to_owned(), |source| source.display().to_string());
    Ok(What::Filesystem { kind: kind.to_owned(), source, instead })
}

fn bind(
    of: &RootfsOf<'_>,
    field: &str,
    mount: &Mount,
    options: &Options,
    defaults: &Defaults,
) -> Result<Source, RuntimeError> {
    if let Some((key, value)) = options.data.first() {
        let word = value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}"));
        return Err(spec_error(format!("{field}.options"), format!("{word:?} is no option of a bind mount")));
    }
    let source = mount.source().as_ref().filter(|source| !source.as_os_str().is_empty());
    let Some(source) = source else {
        return Err(spec_error(format!("{field}.source"), "is missing: say what to bind"));
    };
    // As the specification has it, relative to the bundle.
    let path = of.bundle.join(source);
    let copied = Source::copied(path, options.bind.unwrap_or(false))
        .map_err(|errno| unreadable(field, source, errno))?;
    let own = (mount.uid_mappings().as_deref(), mount.gid_mappings().as_deref());
    let own = (own.0.unwrap_or_default(), own.1.unwrap_or_default());
    if options.id_map.is_some() || !own.0.is_empty() || !own.1.is_empty() {
        let Some(tree) = &copied.tree else {
            return Err(RuntimeError::Unsupported {
                what: format!("{field}: an id-mapped mount"),
                why: "only root may make one: run as root, or leave idmap and uidMappings out".into(),
            });
        };
        let recursive = options.id_map.unwrap_or(false);
        map_ids(of.user_namespace, field, tree, own, recursive)?;
    }
    if let Some(tree) = &copied.tree {
        prepare(field, tree, options, defaults)?;
    }
    Ok(copied)
}

/// Why the source of a bind cannot be had.
pub(super) fn unreadable(field: &str, source: &Path, errno: Errno) -> RuntimeError {
    match errno {
        Errno::NOENT => spec_error(
            format!("{field}.source"),
            format!("{} does not exist: make it, or leave the mount out", source.display()),
        ),
        Errno::INVAL => spec_error(
            format!("{field}.source"),
            format!(
                "{} cannot be bound: it is unbindable, or hides mounts below it from a user namespace (take rbind)",
                source.display()
            ),
        ),
        _ => RuntimeError::Step {
            step: format!("{field}: opening {}", source.display()),
            source: errno.into(),
        },
    }
}

type Mappings<'a> = (&'a [oci_spec::runtime::LinuxIdMapping], &'a [oci_spec::runtime::LinuxIdMapping]);

fn map_ids(
    container: Option<BorrowedFd<'_>>,
    field: &str,
    tree: &Tree,
    own: Mappings<'_>,
    recursive: bool,
) -> Result<(), RuntimeError> {
    let mapped = |namespace| {
        tree.map_ids(namespace, recursive).map_err(|errno| match errno {
            Errno::INVAL | Errno::NOSYS => RuntimeError::Unsupported {
                what: format!("{field}: an id-mapped mount"),
                why: "the kernel cannot do it on the filesystem of the source: leave idmap and uidMappings out, or \
                      put the source on another filesystem (ext4, xfs, btrfs)"
                    .into(),
            },
            _ => RuntimeError::Step { step: format!("{field}: mapping its ids"), source: errno.into() },
        })
    };
    match own {
        ([], []) => {
            let Some(namespace) = container else {
                return Err(spec_error(
                    format!("{field}.options"),
                    "idmap without uidMappings and gidMappings means the ids of the container's user namespace, and it \
                     has none of its own: add the mappings, or the namespace",
                ));
            };
            mapped(namespace)
        }
        ([], _) | (_, []) => Err(spec_error(
            format!("{field}.uidMappings"),
            "uidMappings and gidMappings are given both or not at all",
        )),
        (users, groups) => {
            let namespace = make_user_namespace(users, groups)?;
            mapped(std::os::fd::AsFd::as_fd(&namespace))
        }
    }
}

/// The attributes of the bind that stands in for a filesystem of the kernel: read-only throughout, since what it
/// shows is the host's.
pub(super) const STAND_IN: Attributes = Attributes::READ_ONLY;
