//! From flags, and then the image, to the record.

use std::path::{Path, PathBuf};

use berth_runtime::ContainerId;
use jiff::Timestamp;
use rand::RngExt;

use super::{
    Choices, ContainerFlags, Ids, ImageConfig, Surroundings, life_name,
    mounts::{anonymous, mount},
    network, process, security, users,
};
use crate::{
    error::{Result, RunnerError},
    image::{Access, PullPolicy},
    record::{
        AttachOptions, Desired, ImageUse, Isolation, Limits, LogOptions, MountKind, Namespace, NetworkMode,
        NetworkWants, ProcessWants, RestartPolicy, Seccomp, Security, UserNamespace,
        parse::{self, Faults},
    },
};

/// What the flags alone say.
pub(crate) struct Plan {
    desired: Desired,
    choices: Choices,
    command: Vec<String>,
    image_volume: String,
    /// The image's name, unless it is a folder.
    pub(crate) image: Option<String>,
    /// When it is pulled.
    pub(crate) policy: PullPolicy,
    /// Which of its platforms.
    pub(crate) platform: Option<berth_oci::Platform>,
    /// How registries are spoken to.
    pub(crate) access: Access,
    /// Whether nothing is said of a pull.
    pub(crate) quiet: bool,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

/// 64 hexadecimal digits.
fn new_id() -> Result<ContainerId> {
    let bytes: [u8; 32] = rand::rng().random();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().parse()?)
}

/// A record with nothing decided.
fn blank() -> Result<Desired> {
    Ok(Desired {
        id: new_id()?,
        name: String::new(),
        created: Timestamp::now(),
        image: None,
        rootfs: None,
        labels: Default::default(),
        annotations: Default::default(),
        process: ProcessWants { cwd: "/".into(), ..ProcessWants::default() },
        mounts: Vec::new(),
        devices: Vec::new(),
        security: Security {
            privileged: false,
            capabilities: Vec::new(),
            added_capabilities: Vec::new(),
            no_new_privileges: true,
            seccomp: Seccomp::Default,
            apparmor: None,
            selinux: None,
            read_only: false,
            read_only_tmpfs: true,
            masked: Vec::new(),
            unmasked: Vec::new(),
            proc_options: Vec::new(),
            sysctl: Default::default(),
        },
        limits: Limits::default(),
        isolation: Isolation {
            pid: Namespace::Private,
            ipc: Namespace::Private,
            uts: Namespace::Private,
            cgroup: Namespace::Private,
            user: UserNamespace::Host,
        },
        network: NetworkWants {
            mode: NetworkMode::None,
            ports: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            hosts: Vec::new(),
            no_hosts: false,
        },
        restart: RestartPolicy::No,
        health: None,
        stop_signal: 15,
        stop_timeout: 10,
        log: LogOptions::default(),
        auto_remove: false,
        runtime: None,
        create_command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        timeout: None,
        pid_file: None,
        supervisor_pid_file: None,
        attach: AttachOptions::default(),
    })
}

/// The machine's file of a time zone, bound over the container's.
fn zone(name: &str) -> parse::Parsed<PathBuf> {
    let path = if name == "local" {
        PathBuf::from("/etc/localtime")
    } else {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_+-/".contains(c);
        if name.starts_with('/') || !name.chars().all(legal) {
            return Err(format!("{name:?} is no time zone"));
        }
        Path::new("/usr/share/zoneinfo").join(name)
    };
    let found = std::fs::canonicalize(&path).ok().filter(|path| path.is_file());
    found.ok_or_else(|| format!("{name:?}: {} is no file of this machine", path.display()))
}

/// Programs that are init systems.
fn is_init_system(program: &str) -> bool {
    let paths = [
        "/sbin/init",
        "/usr/sbin/init",
        "/usr/local/sbin/init",
        "/lib/systemd/systemd",
        "/usr/lib/systemd/systemd",
    ];
    paths.contains(&program) || program == "systemd" || program == "init"
}

impl ContainerFlags {
    /// What the flags alone say.
    ///
    /// # Errors
    /// [`RunnerError::Usage`] with every fault of them.
    pub(crate) fn plan(&self, surroundings: &Surroundings<'_>) -> Result<Plan> {
        let mut faults = Faults::default();
        let mut desired = blank()?;
        let mut choices = Choices::default();
        for name in &self.unbuilt.0 {
            let way_out = match name.as_str() {
                "decryption-key" => {
                    "is not built here: `berth-copier copy --decryption-key` decrypts an image"
                }
                _ => "is podman's, and not built here: leave it out",
            };
            faults.add(&format!("--{name}"), way_out);
        }
        self.process.apply(&mut desired, &mut choices, &mut faults);
        self.life.apply(&mut desired, &mut choices, &mut faults);
        self.limits.apply(&mut desired, &mut faults);
        self.security.apply(&mut desired, &mut choices, &mut faults);
        self.isolation.apply(surroundings, &mut desired, &mut choices, &mut faults);
        self.network.apply(surroundings, &mut desired, &mut choices, &mut faults);
        self.mounts.apply(surroundings, &mut desired, &mut faults);
        self.health.apply(&mut choices, &mut faults);
        security::check_sysctl(&mut desired, &choices, &mut faults);
        if let Some(name) = &self.process.tz
            && let Some(source) = faults.take("--tz", zone(name))
        {
            let mut zone = mount("/etc/localtime".into(), MountKind::Bind { source });
            zone.read_only = true;
            desired.mounts.push(zone);
        }
        let policy = faults.take("--pull", self.choice.pull.parse()).unwrap_or_default();
        let platform = self.choice.how.platform.read(&mut faults);
        let access = self.choice.how.access.read(&mut faults);
        let (image, command) = self.image_and_command();
        if self.choice.rootfs {
            match std::fs::canonicalize(image) {
                Ok(folder) if folder.is_dir() && !surroundings.folders.owns(&folder) => {
                    desired.rootfs = Some(folder)
                }
                Ok(folder) => {
                    faults.add("--rootfs", format!("{} is no folder for a container", folder.display()))
                }
                Err(error) => faults.add("--rootfs", format!("{image}: {error}")),
            }
        } else if image.is_empty() {
            faults.add("IMAGE", "is empty");
        }
        if command.iter().any(|word| word.contains('\0')) {
            faults.add("COMMAND", "has a zero byte");
        }
        faults.finish()?;
        let mut warnings = Vec::new();
        if surroundings.rootless
            && self.network.network.is_empty()
            && desired.network.mode == NetworkMode::None
        {
            warnings.push("pasta is not installed: the container has no network (--network none says the same without this word)".into());
        }
        Ok(Plan {
            desired,
            choices,
            command: command.to_vec(),
            image_volume: self.mounts.image_volume.clone(),
            image: (!self.choice.rootfs).then(|| image.to_owned()),
            policy,
            platform,
            access,
            quiet: self.choice.how.quiet,
            warnings,
        })
    }
}

impl Plan {
    /// Everything decided. `image` is the image and what it says; `None` with `--rootfs`.
    ///
    /// # Errors
    /// [`RunnerError::Content`] for an image whose configuration cannot be; [`RunnerError::Usage`].
    pub(crate) fn finish(
        self,
        image: Option<(ImageUse, ImageConfig)>,
        surroundings: &Surroundings<'_>,
    ) -> Result<(Desired, Ids, Vec<String>)> {
        let Self { mut desired, choices, command, image_volume, mut warnings, .. } = self;
        let (used, config) = image.unzip();
        desired.image = used;
        let config = config.unwrap_or_default();
        config.check()?;
        let wants = &mut desired.process;
        let replaced = choices.entrypoint.is_some();
        wants.args = choices.entrypoint.unwrap_or_else(|| config.entrypoint.clone());
        // The image's arguments are for the image's own entrypoint.
        wants.args.extend(if command.is_empty() && !replaced { config.cmd.clone() } else { command });
        if wants.args.is_empty() {
            return Err(RunnerError::Usage(
                "no command: the image names none; say one after it, or with --entrypoint".into(),
            ));
        }
        let named = config.env.iter().filter(|variable| !variable.starts_with('=') && variable.contains('='));
        process::merge_env(&mut wants.env, named.cloned());
        process::merge_env(&mut wants.env, choices.env);
        wants.cwd = choices.cwd.unwrap_or_else(|| config.cwd());
        wants.user = choices.user.unwrap_or_else(|| config.user.clone());
        wants.systemd = choices
            .systemd
            .unwrap_or_else(|| wants.args.first().is_some_and(|program| is_init_system(program)));
        if wants.systemd && wants.init {
            return Err(RunnerError::Usage(
                "--init: the program is an init system itself: leave it out, or say --systemd=false".into(),
            ));
        }
        desired.labels.extend(config.labels.clone());
        desired.labels.extend(choices.labels);
        let said = (!config.stop_signal.is_empty()).then(|| parse::signal(&config.stop_signal)).transpose();
        let said = said.unwrap_or_else(|what| {
            warnings.push(format!("the image's stop signal is not used: {what}"));
            None
        });
        let usual = if desired.process.systemd { 37 } else { 15 };
        desired.stop_signal = choices.stop_signal.or(said).unwrap_or(usual);
        desired.health = choices.health.with(config.health());
        for path in config.volumes.keys() {
            let place: PathBuf = Path::new("/").join(path).components().collect();
            let legal = place != Path::new("/")
                && place.components().all(|part| part != std::path::Component::ParentDir);
            if !legal {
                return Err(RunnerError::Content(format!(
                    "the image asks for a volume at {path:?}, where none can be"
                )));
            }
            if desired.mounts.iter().any(|mount| mount.destination == place) {
                continue;
            }
            match image_volume.as_str() {
                "ignore" => {}
                "tmpfs" => desired.mounts.push(mount(place, MountKind::Tmpfs { size: None, mode: None })),
                _ => desired.mounts.push(mount(place, anonymous())),
            }
        }
        if choices.publish_all {
            let exposed = [config.exposed(), choices.exposed].concat();
            network::publish_exposed(&mut desired.network.ports, &exposed);
        }
        let ids = users::decide(choices.user_namespace, &mut desired, surroundings, &mut warnings)?;
        if let Ids::Fixed(user) = &ids {
            desired.isolation.user = user.clone();
        }
        if desired.name.is_empty() {
            desired.name = life_name::made_up(|name| surroundings.records.find(name).is_ok());
        }
        Ok((desired, ids, warnings))
    }
}
