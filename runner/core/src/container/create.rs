//! Making a container.

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::SystemTime,
};

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use super::{
    Container, Create, Runtime, Started, Stdio,
    folder::Folder,
    record::{Incarnation, Record},
};
use crate::{
    Cgroup, During, RuntimeError, bundle,
    process::{First, Waiting, listen},
};

fn rootfs(bundle: &Path, spec: &Spec) -> PathBuf {
    bundle.join(spec.root().as_ref().map(|root| root.path().clone()).unwrap_or_default())
}

/// A terminal is asked for in two places, which have to agree.
pub(super) fn check_terminal(
    process: &oci_spec::runtime::Process,
    stdio: &Stdio<'_>,
) -> Result<(), RuntimeError> {
    let given = matches!(stdio, Stdio::Terminal | Stdio::ConsoleSocket(_));
    let wanted = process.terminal() == Some(true);
    let rule = match (wanted, given) {
        (true, false) => "is true: give a console socket for the terminal, or set it to false",
        (false, true) => "is not true: a console socket is of no use, leave it out",
        _ => return Ok(()),
    };
    Err(RuntimeError::Spec { field: "process.terminal".into(), rule: rule.into() })
}

impl Runtime {
    pub(super) fn make(&self, create: &Create<'_>) -> Result<(Container, Started), RuntimeError> {
        crate::own_program::check()?;
        bundle::check(create.spec)?;
        let process = create
            .spec
            .process()
            .as_ref()
            .ok_or_else(|| RuntimeError::Spec { field: "process".into(), rule: "is missing".into() })?;
        check_terminal(process, &create.stdio)?;
        let step = || format!("finding the bundle {}", create.bundle.display());
        let bundle = std::fs::canonicalize(create.bundle).during(step)?;
        let folder = Folder::make(&self.root, create.id)?;
        let linux = create.spec.linux().as_ref();
        let mut record = Record {
            oci_version: create.spec.version().clone(),
            id: create.id.clone(),
            rootfs: rootfs(&bundle, create.spec),
            bundle,
            annotations: create.spec.annotations().clone(),
            created: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
            owner: rustix::process::geteuid().as_raw(),
            init: None,
            complete: false,
            driver: self.cgroups,
            cgroups_path: linux.and_then(|linux| linux.cgroups_path().clone()),
            cgroup: None,
            own_pid_namespace: linux
                .and_then(|linux| linux.namespaces().as_deref())
                .unwrap_or_default()
                .iter()
                .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none()),
            hooks: create.spec.hooks().clone(),
        };
        let container = self.container(create.id.clone());
        match self.make_in(&folder, create, process, &mut record) {
            Ok(started) => Ok((container, started)),
            Err(error) => Err(match super::delete::undo(&folder, &record) {
                Ok(()) => error,
                // The folder stays then, for a delete by force to try again.
                Err(RuntimeError::Step { step, source }) => {
                    RuntimeError::Step { step: format!("{error}; and then {step}"), source }
                }
                Err(other) => RuntimeError::Step {
                    step: format!("{error}; and then cleaning up"),
                    source: std::io::Error::other(other.to_string()),
                },
            }),
        }
    }

    fn make_in(
        &self,
        folder: &Folder,
        create: &Create<'_>,
        process: &oci_spec::runtime::Process,
        record: &mut Record,
    ) -> Result<Started, RuntimeError> {
        folder.write_record(record)?;
        folder.write_spec(create.spec)?;
        let resources = create.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        let path = record.cgroups_path.as_deref();
        let cgroup =
            record.cgroup.insert(Cgroup::create(self.cgroups, path, create.id.as_str(), resources)?).clone();
        folder.write_record(record)?;
        let listener = listen(&folder.as_fd())?;
        let bundle = record.bundle.clone();
        let first = First {
            spec: create.spec,
            process,
            bundle: &bundle,
            state: super::state_of(record, oci_spec::runtime::ContainerState::Creating, None),
            cgroup: &cgroup,
            seccomp_cache: self.seccomp_cache.as_deref(),
            stdio: &create.stdio,
            preserve_fds: create.preserve_fds,
            no_pivot: create.no_pivot,
            new_keyring: !create.no_new_keyring,
            detached: create.detached,
            listener: &listener,
            own: &[folder.handle()],
        };
        let waiting = first.make(&mut |child| {
            record.init = Some(Incarnation::of(child.pid)?);
            folder.write_record(record)
        })?;
        record.complete = true;
        match folder.write_record(record) {
            Ok(()) => {}
            Err(error) => {
                Waiting::end(waiting);
                return Err(error);
            }
        }
        let (child, terminal) = waiting.release()?;
        Ok(Started { pid: child.pid, pidfd: child.pidfd, terminal })
    }
}
