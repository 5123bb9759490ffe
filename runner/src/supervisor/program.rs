//! A further program in a container: its process from what the container's own was, and what is asked for.

use std::path::PathBuf;

use berth_runtime::ContainerId;
use oci_spec::runtime::{Capability, Process, Spec};

use super::live::Live;
use crate::{
    bundle::{capabilities, inside::Inside, user},
    error::{Result, RunnerError},
    folders::Folders,
    record::files,
};

/// What is asked for; what is not named is as the container's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    /// Program and arguments.
    pub(crate) args: Vec<String>,
    /// `NAME=value` besides.
    pub(crate) env: Vec<String>,
    /// Working directory.
    pub(crate) cwd: Option<PathBuf>,
    /// `user[:group]`.
    pub(crate) user: Option<String>,
    /// A terminal.
    pub(crate) tty: bool,
    /// Every capability of the machine's root.
    pub(crate) privileged: bool,
}

/// The process.
///
/// # Errors
/// [`RunnerError::Usage`] for a user that the container does not know; where the bundle cannot be read.
pub(crate) fn process(folders: &Folders, id: &ContainerId, wants: &Wants) -> Result<Process> {
    let path = folders.container(id).join("config.json");
    let broken = |rule: &str| RunnerError::Content(format!("{}: {rule}", path.display()));
    let spec: Spec = files::read_json(&path)?.ok_or_else(|| broken("it is not there"))?;
    let mut process = spec.process().clone().ok_or_else(|| broken("it has no process"))?;
    process.set_args(Some(wants.args.clone()));
    process.set_terminal(Some(wants.tty));
    process.set_command_line(None);
    process.set_console_size(None);
    let mut env = process.env().clone().unwrap_or_default();
    // What the first process has for its service manager is not for others.
    env.retain(|have| {
        !["NOTIFY_SOCKET=", "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES="]
            .iter()
            .any(|own| have.starts_with(own))
    });
    for wanted in &wants.env {
        set(&mut env, wanted);
    }
    if wants.tty && !env.iter().any(|have| have.starts_with("TERM=")) {
        env.push("TERM=xterm".into());
    }
    if let Some(cwd) = &wants.cwd {
        process.set_cwd(cwd.clone());
    }
    if let Some(wanted) = &wants.user {
        let pid = Live::read(folders, id)?.map_or(0, |live| live.pid);
        let inside = Inside::new(&PathBuf::from(format!("/proc/{pid}/root")))?;
        let identity = user::find(&inside, wanted, &[])?;
        let mut user = process.user().clone();
        user.set_uid(identity.uid).set_gid(identity.gid).set_additional_gids(Some(identity.groups));
        process.set_user(user);
        set(&mut env, &format!("HOME={}", identity.home.display()));
        become_user(&mut process, identity.uid);
    }
    process.set_env(Some(env));
    if wants.privileged {
        everything(&mut process)?;
    }
    Ok(process)
}

fn set(env: &mut Vec<String>, wanted: &str) {
    let name = wanted.split('=').next().unwrap_or_default();
    env.retain(|have| have.split('=').next() != Some(name));
    env.push(wanted.to_owned());
}

/// Root has the container's capabilities, others none.
fn become_user(process: &mut Process, uid: u32) {
    let Some(mut sets) = process.capabilities().clone() else { return };
    let own = if uid == 0 { sets.bounding().clone().unwrap_or_default() } else { Default::default() };
    sets.set_effective(Some(own.clone())).set_permitted(Some(own));
    sets.set_inheritable(Some(Default::default())).set_ambient(Some(Default::default()));
    process.set_capabilities(Some(sets));
}

fn everything(process: &mut Process) -> Result<()> {
    let mut all = oci_spec::runtime::Capabilities::new();
    for name in capabilities::all()? {
        let known = name.trim_start_matches("CAP_").parse::<Capability>();
        all.insert(known.map_err(|_| RunnerError::Unsupported(format!("{name} is not known")))?);
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    sets.set_bounding(Some(all.clone())).set_effective(Some(all.clone())).set_permitted(Some(all));
    process.set_capabilities(Some(sets));
    process.set_no_new_privileges(Some(false));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_set_once() {
        let mut env = vec!["A=1".to_owned(), "AB=2".to_owned()];
        set(&mut env, "A=3");
        set(&mut env, "C");
        assert_eq!(env, ["AB=2", "A=3", "C"]);
    }
}
