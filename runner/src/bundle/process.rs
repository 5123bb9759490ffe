//! The first process.

use oci_spec::runtime::{Process, User};

use super::{Build, INIT_PATH, capabilities, own_files, rlimits};
use crate::{
    error::{Result, RunnerError},
    init, secret,
};

/// Where programs are sought unless the image says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the image, the flags and the secrets say, and what every program expects beside it.
fn environment(build: &Build<'_>) -> Result<Vec<String>> {
    let wants = &build.desired.process;
    let mut env: Vec<String> = wants.env.clone();
    for (name, variable) in &wants.secret_env {
        let text = secret::read(build.folders, name)?;
        let text = String::from_utf8(text).ok().filter(|text| !text.contains('\0'));
        let text = text.ok_or_else(|| {
            RunnerError::Usage(format!(
                "secret {name} is no text, and no variable can hold it: mount it as a file"
            ))
        })?;
        let prefix = format!("{variable}=");
        env.retain(|known| !known.starts_with(&prefix));
        env.push(prefix + &text);
    }
    let mut add = |name: &str, value: &str| {
        let prefix = format!("{name}=");
        if !env.iter().any(|known| known.starts_with(&prefix)) {
            env.push(prefix + value);
        }
    };
    add("PATH", PATH);
    if wants.tty {
        add("TERM", "xterm");
    }
    let own = build.hostname();
    let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    add("HOSTNAME", &own.unwrap_or_else(machine));
    add("HOME", &build.identity.home.to_string_lossy());
    add("container", "oci");
    if wants.sd_notify && own_files::notify_socket().is_some() {
        add("NOTIFY_SOCKET", own_files::NOTIFY);
    }
    if wants.systemd {
        add("container_uuid", &uuid(build.desired.id.as_str()));
    }
    Ok(env)
}

/// The first 32 digits of an id in the form that systemd makes its machine's id of.
fn uuid(id: &str) -> String {
    let part = |from: usize, to: usize| id.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// Ids that the container's namespace lacks end every call that sets them, with a word that helps nobody.
fn check_ids(build: &Build<'_>) -> Result<()> {
    let Some((uids, gids)) = &build.maps else { return Ok(()) };
    let identity = &build.identity;
    let lacks = |what: &str, id: u32| {
        Err(RunnerError::Usage(format!(
            "{what} {id} is outside the ids of the container's user namespace: give it more, as in --userns auto:size={}",
            id.saturating_add(1)
        )))
    };
    if super::outside(uids, identity.uid).is_none() {
        return lacks("user", identity.uid);
    }
    let groups = std::iter::once(&identity.gid).chain(&identity.groups);
    groups.copied().find(|gid| super::outside(gids, *gid).is_none()).map_or(Ok(()), |gid| lacks("group", gid))
}

/// The first process.
pub(super) fn of(build: &Build<'_>) -> Result<Process> {
    check_ids(build)?;
    let (desired, identity) = (build.desired, &build.identity);
    let (wants, security) = (&desired.process, &desired.security);
    if wants.args.is_empty() {
        return Err(RunnerError::Usage(
            "no command: neither the image nor the command line names one".into(),
        ));
    }
    let mut args = wants.args.clone();
    if wants.init {
        args.splice(0..0, init::Program::ready(build.folders)?.words(INIT_PATH));
    }
    let mut user = User::default();
    user.set_uid(identity.uid).set_gid(identity.gid).set_umask(Some(wants.umask.unwrap_or(0o022)));
    user.set_additional_gids(Some(identity.groups.clone()).filter(|groups| !groups.is_empty()));
    let mut process = Process::default();
    process.set_terminal(Some(wants.tty)).set_user(user).set_args(Some(args));
    process.set_env(Some(environment(build)?)).set_cwd(wants.cwd.clone());
    let sets = capabilities::sets(&security.capabilities, &security.added_capabilities, identity.uid)?;
    process.set_capabilities(Some(sets)).set_no_new_privileges(Some(security.no_new_privileges));
    process.set_rlimits(Some(rlimits::of(desired, build.starter)?));
    process.set_oom_score_adj(desired.limits.oom_score_adj);
    process.set_apparmor_profile(security.apparmor.clone()).set_selinux_label(security.selinux.clone());
    Ok(process)
}
