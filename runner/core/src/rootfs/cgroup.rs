//! Mounts of type `cgroup`: the container sees its own group, and with `ro` it cannot change it, in any version.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
};

use oci_spec::runtime::LinuxNamespaceType;
use rustix::{fs, io::Errno};

use super::{
    RootfsOf,
    filesystem::{self, Refusal},
    inside::{Content, Inside},
    options::{Attributes, Options, Propagation},
    plan::{Source, is_new},
    resolve::{self, Kind, Links},
    tree::Tree,
};
use crate::{During, RuntimeError};

const UNIFIED: &str = "/sys/fs/cgroup";
/// `CGROUP2_SUPER_MAGIC`.
const UNIFIED_MAGIC: rustix::fs::FsWord = 0x6367_7270;

/// How the group is shown.
#[derive(Debug)]
pub(super) enum Cgroups {
    /// Version 2: an instance in the container's own cgroup namespace, or else a bind.
    Unified { new: bool, bind: Option<Source> },
    /// A folder per hierarchy.
    Hierarchies(Vec<Hierarchy>),
}

/// One hierarchy of version 1, or the unified one beside them.
#[derive(Debug)]
pub(super) struct Hierarchy {
    /// The folder's name: `memory`, `cpu,cpuacct`, `systemd`, `unified`.
    name: String,
    /// The group of the container in it.
    group: Source,
}

fn unified_is_mounted() -> Result<bool, RuntimeError> {
    match fs::statfs(UNIFIED) {
        Ok(found) => Ok(found.f_type == UNIFIED_MAGIC),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno).during(|| format!("reading the filesystem of {UNIFIED}")),
    }
}

impl Cgroups {
    pub(super) fn plan(of: &RootfsOf<'_>, field: &str, options: &Options) -> Result<Self, RuntimeError> {
        let views = of.cgroup.views();
        let copied = |path: PathBuf| {
            let shown = path.display().to_string();
            let source =
                Source::copied(path, false).during(|| format!("{field}: copying the mount of {shown}"))?;
            if let Some(tree) = &source.tree {
                change(field, tree, options)?;
            }
            Ok::<_, RuntimeError>(source)
        };
        let unified = if views.is_empty() {
            unified_is_mounted()?
        } else {
            views.iter().all(|(controllers, _)| controllers.is_empty())
        };
        if unified {
            let new = is_new(of.spec, LinuxNamespaceType::Cgroup);
            // A process in the namespace of the host knows its group by the path from the machine's root, so that
            // root is what it has to see.
            let shown =
                if new { views.into_iter().next().map(|(_, folder)| folder) } else { Some(UNIFIED.into()) };
            return Ok(Self::Unified { new, bind: shown.map(copied).transpose()? });
        }
        let hierarchies = views
            .into_iter()
            .map(|(controllers, folder)| {
                Ok(Hierarchy { name: folder_name(&controllers), group: copied(folder)? })
            })
            .collect::<Result<_, RuntimeError>>()?;
        Ok(Self::Hierarchies(hierarchies))
    }
}

/// The name that everybody gives to a hierarchy's folder.
fn folder_name(controllers: &str) -> String {
    match controllers {
        "" => "unified".to_owned(),
        named => named.strip_prefix("name=").unwrap_or(named).to_owned(),
    }
}

fn change(field: &str, tree: &Tree, options: &Options) -> Result<(), RuntimeError> {
    let step = || format!("{field}.options: changing the mount of a control group");
    tree.propagate(Propagation::SLAVE).during(step)?;
    tree.change(options.attributes, false).during(step)?;
    tree.change(options.recursive, true).during(step)
}

/// The copy, made by the child where the parent could not.
fn tree<'a>(
    field: &str,
    source: &'a Source,
    options: &Options,
    own: &'a mut Option<Tree>,
) -> Result<&'a Tree, RuntimeError> {
    if let Some(tree) = &source.tree {
        return Ok(tree);
    }
    let shown = source.path.display();
    let made =
        Tree::of_path(&source.path, false).during(|| format!("{field}: copying the mount of {shown}"))?;
    change(field, &made, options)?;
    Ok(own.insert(made))
}

/// Mounts it.
pub(super) fn mount(
    inside: &Inside,
    field: &str,
    destination: &std::path::Path,
    options: &Options,
    cgroups: &Cgroups,
) -> Result<(), RuntimeError> {
    let place = inside.place(
        &format!("{field}.destination"),
        destination,
        Kind::Directory,
        Links::Followed,
        Content::Other,
    )?;
    match cgroups {
        Cgroups::Unified { new, bind } => {
            let fresh = if *new {
                filesystem::detached("cgroup2", "cgroup", options, options.attributes)
            } else {
                Err(Refusal::Instance { errno: Errno::PERM, says: String::new() })
            };
            match (fresh, bind) {
                (Ok(tree), _) => inside.attach(field, &tree, &place),
                // A user namespace that does not own the cgroup namespace, or a tree that is mounted otherwise.
                (Err(refusal), Some(source))
                    if matches!(refusal.errno(), Errno::PERM | Errno::BUSY | Errno::ACCESS) =>
                {
                    let mut own = None;
                    inside.attach(field, tree(field, source, options, &mut own)?, &place)
                }
                (Err(refusal), _) => Err(refusal.into_error()).during(|| format!("{field}: making cgroup2")),
            }
        }
        Cgroups::Hierarchies(hierarchies) => {
            let empty = Options { data: vec![("mode".into(), Some("755".into()))], ..Options::default() };
            let folder = filesystem::detached("tmpfs", "cgroup", &empty, options.attributes.writable())
                .map_err(Refusal::into_error)
                .during(|| format!("{field}: making the folder of control groups"))?;
            inside.attach(field, &folder, &place)?;
            for hierarchy in hierarchies {
                hierarchy.mount(inside, field, folder.as_fd(), options)?;
            }
            if options.attributes.is_read_only() {
                let step = || format!("{field}: making the folder of control groups read-only");
                folder.change(Attributes::READ_ONLY, false).during(step)?;
            }
            Ok(())
        }
    }
}

impl Hierarchy {
    fn mount(
        &self,
        inside: &Inside,
        field: &str,
        folder: BorrowedFd<'_>,
        options: &Options,
    ) -> Result<(), RuntimeError> {
        let step = || format!("{field}: mounting the hierarchy {}", self.name);
        // The folder is a filesystem that was made just now and has nobody else in it: names are what they seem.
        let place =
            resolve::made(folder, self.name.as_ref(), Kind::Directory, Links::Refused).during(step)?;
        let mut own = None;
        let group = tree(field, &self.group, options, &mut own)?;
        group.attach(place.as_fd(), inside.descriptors()).during(step)?;
        if self.name.contains(',') {
            for controller in self.name.split(',') {
                fs::symlinkat(self.name.as_str(), folder, controller).during(step)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_have_the_names_that_programs_look_for() {
        assert_eq!(folder_name("memory"), "memory");
        assert_eq!(folder_name("cpu,cpuacct"), "cpu,cpuacct");
        assert_eq!(folder_name("name=systemd"), "systemd");
        assert_eq!(folder_name(""), "unified");
    }
}
