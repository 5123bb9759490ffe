//! `inspect`, in podman's form.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value as Json, json};

use super::{
    Context, Globals, image_inspect, network,
    output::{self, Value},
    port, select, volume,
};
use crate::{
    bundle,
    error::{Result, RunnerError},
    network::Attachment,
    record::{Desired, Mount, MountKind, Namespace, RestartPolicy, UserNamespace, files},
    supervisor::{
        health,
        live::{Condition, snapshot},
        log,
    },
};

/// Its arguments.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Containers, images, volumes or networks, by name or id
    #[arg(required_unless_present = "latest", value_name = "NAME")]
    names: Vec<String>,

    /// The container that was created last
    #[arg(long, short, conflicts_with = "names")]
    latest: bool,

    /// `json`, or a Go template like '{{.State.Pid}}'
    #[arg(long, short, value_name = "TEMPLATE")]
    format: Option<String>,

    /// What the names are of
    #[arg(long = "type", short = 't', value_enum, default_value_t = Kind::All)]
    kind: Kind,

    /// Sizes of what they changed
    #[arg(long, short)]
    size: bool,
}

/// What a name may be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    All,
    Container,
    Image,
    Volume,
    Network,
}

impl Kind {
    /// Where it is sought, in this order.
    const EACH: [Self; 4] = [Self::Container, Self::Image, Self::Volume, Self::Network];

    fn found(self, context: &Context, name: &str, size: bool) -> Result<Value> {
        match self {
            Self::Container => output::value(&container(context, &context.records.find(name)?, size)?),
            Self::Image => image_inspect::found(context, name),
            Self::Volume => volume::found(context, name),
            Self::Network => network::found(&context.folders, name),
            Self::All => {
                for kind in Self::EACH {
                    match kind.found(context, name, size) {
                        // What is no name of one may be one of another.
                        Err(RunnerError::NotFound(_) | RunnerError::Usage(_)) => {}
                        answer => return answer,
                    }
                }
                Err(RunnerError::NotFound(format!("no container, image, volume or network is called {name}")))
            }
        }
    }
}

pub(super) fn run(globals: &Globals, arguments: &Arguments) -> Result<u8> {
    let context = globals.open()?;
    let mut names = arguments.names.clone();
    if arguments.latest {
        let latest = select::Selection { latest: true, ..Default::default() };
        names.push(latest.one(&context)?.id.to_string());
    }
    let (mut found, mut code) = (Vec::new(), 0);
    for name in names {
        match arguments.kind.found(&context, &name, arguments.size) {
            Ok(value) => found.push(value),
            Err(error) => code = select::failed(&error, code),
        }
    }
    output::inspect(arguments.format.as_deref(), &found)?;
    Ok(code)
}

/// Go's zero time, which podman shows where nothing happened yet.
const NEVER: &str = "0001-01-01T00:00:00Z";

fn state(context: &Context, desired: &Desired) -> Result<Json> {
    let seen = snapshot(&context.records, desired)?;
    let exit = seen.exit.as_ref();
    let up = seen.condition.is_up();
    let ended = exit.filter(|_| !up);
    let time = |time: Option<jiff::Timestamp>| time.map_or_else(|| NEVER.to_owned(), |time| time.to_string());
    let mut state = json!({
        "OciVersion": "1.2.0",
        "Status": seen.condition.name(),
        "Running": matches!(seen.condition, Condition::Running | Condition::Stopping),
        "Paused": seen.condition == Condition::Paused,
        "Restarting": seen.condition == Condition::Restarting,
        "OOMKilled": exit.is_some_and(|exit| exit.oom_killed),
        "Dead": false,
        "Pid": seen.pid.unwrap_or_default(),
        "ConmonPid": seen.supervisor.unwrap_or_default(),
        "ExitCode": ended.map_or(0, |exit| exit.code),
        "Error": ended.and_then(|exit| exit.error.clone()).unwrap_or_default(),
        "StartedAt": time(seen.started),
        "FinishedAt": time(exit.map(|exit| exit.finished)),
        "Checkpointed": false,
        "CgroupPath": "",
    });
    let health = if up { health::found(&context.folders, desired)? } else { None };
    if let (Some(state), Some(health)) = (state.as_object_mut(), health) {
        state.insert("Health".into(), serde_json::to_value(health).unwrap_or_default());
    }
    Ok(state)
}

fn mount(context: &Context, mount: &Mount) -> Json {
    let (kind, name, source) = match &mount.kind {
        MountKind::Bind { source } => ("bind", None, source.display().to_string()),
        MountKind::Volume { name, .. } => {
            ("volume", Some(name), context.folders.volumes().join(name).join("data").display().to_string())
        }
        MountKind::Tmpfs { .. } => ("tmpfs", None, "tmpfs".to_owned()),
        MountKind::Secret { name, .. } => ("secret", Some(name), String::new()),
    };
    let mut json = json!({
        "Type": kind,
        "Source": source,
        "Destination": mount.destination,
        "Driver": if kind == "volume" { "local" } else { "" },
        "Mode": "",
        "Options": mount.options,
        "RW": !mount.read_only,
        "Propagation": "rprivate",
    });
    if let (Some(json), Some(name)) = (json.as_object_mut(), name) {
        json.insert("Name".into(), Json::from(name.clone()));
    }
    json
}

fn namespace(namespace: &Namespace) -> String {
    match namespace {
        Namespace::Private => "private".into(),
        Namespace::Host => "host".into(),
        Namespace::Container(id) => format!("container:{id}"),
        Namespace::Path(path) => format!("ns:{}", path.display()),
    }
}

fn host_config(desired: &Desired, ports: &Json) -> Json {
    let limits = &desired.limits;
    let security = &desired.security;
    let (policy, most) = match desired.restart {
        RestartPolicy::OnFailure(most) => ("on-failure".to_owned(), most.unwrap_or_default()),
        other => (select::policy(other), 0),
    };
    let binds: Vec<String> = desired
        .mounts
        .iter()
        .filter_map(|mount| match &mount.kind {
            MountKind::Bind { source } => {
                let access = if mount.read_only { "ro" } else { "rw" };
                Some(format!("{}:{}:{access}", source.display(), mount.destination.display()))
            }
            _ => None,
        })
        .collect();
    let ulimits: Vec<Json> = limits
        .ulimits
        .iter()
        .map(|limit| json!({"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard}))
        .collect();
    let devices: Vec<Json> = desired
        .devices
        .iter()
        .map(|device| {
            json!({"PathOnHost": device.source, "PathInContainer": device.destination, "CgroupPermissions": device.access})
        })
        .collect();
    json!({
        "Binds": binds,
        "LogConfig": {"Type": if desired.log.none { "none" } else { "k8s-file" }, "Config": null,
            "Size": format!("{}B", desired.log.max_size)},
        "NetworkMode": select::networks(desired).join(","),
        "PortBindings": ports,
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": most},
        "AutoRemove": desired.auto_remove,
        "CapAdd": [],
        "CapDrop": [],
        "Capabilities": security.capabilities,
        "Dns": desired.network.dns,
        "DnsOptions": desired.network.dns_options,
        "DnsSearch": desired.network.dns_search,
        "IpcMode": namespace(&desired.isolation.ipc),
        "PidMode": namespace(&desired.isolation.pid),
        "UTSMode": namespace(&desired.isolation.uts),
        "CgroupMode": namespace(&desired.isolation.cgroup),
        "UsernsMode": match &desired.isolation.user {
            UserNamespace::Host => String::new(),
            UserNamespace::Private { .. } => "private".into(),
            UserNamespace::Container(id) => format!("container:{id}"),
            UserNamespace::Path(path) => format!("ns:{}", path.display()),
        },
        "Privileged": security.privileged,
        "ReadonlyRootfs": security.read_only,
        "SecurityOpt": if security.no_new_privileges { vec!["no-new-privileges"] } else { vec![] },
        "ShmSize": limits.shm_size,
        "Sysctls": security.sysctl,
        "Runtime": desired.runtime.as_ref().map_or_else(|| "berth".to_owned(), |path| path.display().to_string()),
        "OomScoreAdj": limits.oom_score_adj.unwrap_or_default(),
        "OomKillDisable": limits.oom_kill_disable,
        "Init": desired.process.init,
        "Memory": limits.memory.unwrap_or_default(),
        "MemorySwap": limits.memory_swap.unwrap_or_default(),
        "MemoryReservation": limits.memory_reservation.unwrap_or_default(),
        "MemorySwappiness": limits.memory_swappiness.map_or(-1, |value| i64::try_from(value).unwrap_or(-1)),
        "NanoCpus": limits.cpu_milli.unwrap_or_default() * 1_000_000,
        "CpuShares": limits.cpu_shares.unwrap_or_default(),
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "PidsLimit": bundle::pids_limit(desired).unwrap_or_default(),
        "BlkioWeight": limits.blkio_weight.unwrap_or_default(),
        "CgroupParent": limits.cgroup_parent.clone().unwrap_or_default(),
        "Ulimits": ulimits,
        "Devices": devices,
    })
}

/// The rest of it: as one the macro for JSON would be too long.
fn more_of_host_config(desired: &Desired) -> Json {
    let hosts = desired.network.hosts.iter().map(|(name, address)| match address {
        Some(address) => format!("{name}:{address}"),
        None => format!("{name}:host-gateway"),
    });
    let memory = desired.mounts.iter().filter(|mount| matches!(mount.kind, MountKind::Tmpfs { .. }));
    let memory: Map<String, Json> = memory
        .map(|mount| (mount.destination.display().to_string(), Json::from(mount.options.join(","))))
        .collect();
    json!({
        "Tmpfs": memory,
        "ExtraHosts": hosts.collect::<Vec<_>>(),
        "GroupAdd": desired.process.groups,
        "CpuPeriod": desired.limits.cpu_period.unwrap_or_default(),
        "CpuQuota": desired.limits.cpu_quota.unwrap_or_default(),
    })
}

fn config(desired: &Desired) -> Json {
    let process = &desired.process;
    let mut config = json!({
        "Hostname": process.hostname.clone().unwrap_or_else(|| output::short_id(desired.id.as_str()).to_owned()),
        "User": process.user,
        "Tty": process.tty,
        "OpenStdin": process.interactive,
        "Env": process.env,
        "Cmd": process.args,
        "Image": desired.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
        "WorkingDir": process.cwd,
        "Labels": desired.labels,
        "Annotations": desired.annotations,
        "StopSignal": desired.stop_signal,
        "StopTimeout": desired.stop_timeout,
        "Timeout": desired.timeout.unwrap_or_default(),
        "AttachStdin": desired.attach.stdin,
        "AttachStdout": desired.attach.stdout,
        "AttachStderr": desired.attach.stderr,
        "CreateCommand": desired.create_command,
        "Umask": format!("{:04o}", process.umask.unwrap_or(0o022)),
        "SystemdMode": process.systemd,
    });
    if let (Some(config), Some(health)) = (config.as_object_mut(), &desired.health) {
        let nanoseconds = |milliseconds: u64| milliseconds.saturating_mul(1_000_000);
        let check = json!({
            "Test": health.test,
            "Interval": nanoseconds(health.interval_ms),
            "Timeout": nanoseconds(health.timeout_ms),
            "StartPeriod": nanoseconds(health.start_period_ms),
            "Retries": health.retries,
        });
        config.insert("Healthcheck".into(), check);
        config.insert("HealthcheckOnFailureAction".into(), Json::from(health.on_failure.clone()));
    }
    config
}

fn networks(got: Option<&Attachment>, ports: &Json) -> Json {
    let mut networks = Map::new();
    let links = got.map(|got| got.links.as_slice()).unwrap_or_default();
    let entry = |link: &crate::network::Link| {
        let first = |v4: bool| link.addresses.iter().find(|(address, _)| address.is_ipv4() == v4);
        let gateway = |v4: bool| link.gateways.iter().find(|gateway| gateway.is_ipv4() == v4);
        let text = |address: Option<&(std::net::IpAddr, u8)>| {
            address.map(|(ip, _)| ip.to_string()).unwrap_or_default()
        };
        json!({
            "EndpointID": "",
            "Gateway": gateway(true).map(ToString::to_string).unwrap_or_default(),
            "IPAddress": text(first(true)),
            "IPPrefixLen": first(true).map_or(0, |(_, length)| *length),
            "IPv6Gateway": gateway(false).map(ToString::to_string).unwrap_or_default(),
            "GlobalIPv6Address": text(first(false)),
            "GlobalIPv6PrefixLen": first(false).map_or(0, |(_, length)| *length),
            "MacAddress": link.mac,
            "NetworkID": link.network,
            "Interface": link.interface,
        })
    };
    for link in links {
        networks.insert(link.network.clone(), entry(link));
    }
    let mut settings =
        links.first().map_or_else(|| json!({"IPAddress": "", "Gateway": "", "MacAddress": ""}), entry);
    if let Some(settings) = settings.as_object_mut() {
        settings.insert("Ports".into(), ports.clone());
        settings.insert("Networks".into(), Json::Object(networks));
    }
    settings
}

/// Everything about a container.
pub(super) fn container(context: &Context, desired: &Desired, size: bool) -> Result<Json> {
    let folders = &context.folders;
    let id = &desired.id;
    let mut ports = Map::new();
    for one in port::published(folders, desired)? {
        let key = format!("{}/{}", one.container, port::protocol(one.protocol));
        let binding = json!({"HostIp": one.address.to_string(), "HostPort": one.host.to_string()});
        match ports.get_mut(&key).and_then(Json::as_array_mut) {
            Some(bindings) => bindings.push(binding),
            None => drop(ports.insert(key, json!([binding]))),
        }
    }
    let ports = Json::Object(ports);
    let got: Option<Attachment> = files::read_json(&folders.running(id).join("network.json"))?;
    let (program, arguments) = desired
        .process
        .args
        .split_first()
        .map_or((String::new(), vec![]), |(first, rest)| (first.clone(), rest.to_vec()));
    let image = desired.image.as_ref();
    let seen = snapshot(&context.records, desired)?;
    // They are memory of the container's, which nobody sees but through it.
    let own = |name| seen.pid.map_or_else(String::new, |pid| format!("/proc/{pid}/root/etc/{name}"));
    let mut json = json!({
        "Id": id.as_str(),
        "Created": desired.created.to_string(),
        "Path": program,
        "Args": arguments,
        "State": state(context, desired)?,
        "Image": image.map(|image| image.id.to_string().trim_start_matches("sha256:").to_owned()).unwrap_or_default(),
        "ImageName": image.map(|image| image.name.clone()).unwrap_or_default(),
        "ImageDigest": image.map(|image| image.manifest.to_string()).unwrap_or_default(),
        "Rootfs": desired.rootfs.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        "Pod": "",
        "ResolvConfPath": own("resolv.conf"),
        "HostsPath": own("hosts"),
        "HostnamePath": own("hostname"),
        "StaticDir": folders.container(id),
        "OCIConfigPath": folders.container(id).join("config.json"),
        "OCIRuntime": desired.runtime.as_ref().map_or_else(|| "berth".to_owned(), |path| path.display().to_string()),
        "ConmonPidFile": "",
        "LogPath": log::file(&log::folder(folders, id), 0),
        "Name": desired.name,
        "RestartCount": seen.restarts,
        "Driver": "overlay",
        "MountLabel": "",
        "ProcessLabel": desired.security.selinux.clone().unwrap_or_default(),
        "AppArmorProfile": desired.security.apparmor.clone().unwrap_or_default(),
        "EffectiveCaps": desired.security.capabilities,
        "BoundingCaps": desired.security.capabilities,
        "ExecIDs": [],
        "GraphDriver": {"Name": "overlay", "Data": {"UpperDir": folders.container(id).join("upper"),
            "WorkDir": folders.container(id).join("work")}},
        "Mounts": desired.mounts.iter().map(|one| mount(context, one)).collect::<Vec<_>>(),
        "Dependencies": [],
        "NetworkSettings": networks(got.as_ref(), &ports),
        "Namespace": "",
        "IsInfra": false,
        "IsService": false,
        "Config": config(desired),
        "HostConfig": host_config(desired, &ports),
    });
    if let (Some(config), Json::Object(more)) =
        (json["HostConfig"].as_object_mut(), more_of_host_config(desired))
    {
        config.extend(more);
    }
    if let (Some(json), true) = (json.as_object_mut(), size) {
        json.insert("SizeRw".into(), Json::from(super::ps::changed(context, desired)));
    }
    Ok(json)
}
