use clap::Parser;

use super::*;
use crate::error::RunnerError;
use crate::record::{
    Desired, MountKind, Namespace, NetworkMode, RestartPolicy, Seccomp, UserNamespace,
    tests::desired as other,
};

#[derive(Parser)]
#[command(disable_help_flag = true)]
struct Typed {
    #[command(flatten)]
    flags: ContainerFlags,
}

fn parse(words: &[&str]) -> ContainerFlags {
    // Whoever runs the tests may have proxies.
    Typed::try_parse_from([&["run", "--http-proxy=false"], words].concat())
        .unwrap_or_else(|error| panic!("{words:?}: {error}"))
        .flags
}

struct Place {
    _folder: tempfile::TempDir,
    folders: Folders,
    records: Records,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let folders = Folders { store: folder.path().join("store"), run: folder.path().join("run") };
    let records = Records::new(&folders);
    records.create(&other("web", 7)).unwrap();
    Place { _folder: folder, folders, records }
}

impl Place {
    fn surroundings(&self, rootless: bool) -> Surroundings<'_> {
        Surroundings { folders: &self.folders, records: &self.records, rootless }
    }

    fn plan(&self, words: &[&str]) -> crate::error::Result<super::plan::Plan> {
        parse(words).plan(&self.surroundings(false))
    }

    fn with(&self, words: &[&str], config: &str) -> crate::error::Result<(Desired, Ids)> {
        let config = ImageConfig::parse(format!("{{\"config\":{config}}}").as_bytes()).unwrap();
        let digest: berth_oci::Digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let used =
            crate::record::ImageUse { name: "x.org/a:latest".into(), manifest: digest.clone(), id: digest };
        let (desired, ids, _) = self.plan(words)?.finish(Some((used, config)), &self.surroundings(false))?;
        Ok((desired, ids))
    }

    fn desired(&self, words: &[&str]) -> Desired {
        self.with(words, r#"{"Cmd":["sh"]}"#).unwrap_or_else(|error| panic!("{words:?}: {error}")).0
    }

    fn fault(&self, words: &[&str]) -> String {
        match self.plan(words) {
            Err(RunnerError::Usage(text)) => text,
            Err(error) => panic!("{words:?}: {error:?}"),
            Ok(_) => panic!("{words:?} is taken"),
        }
    }
}

#[test]
fn what_stands_after_the_image_is_the_commands() {
    let flags = parse(&["-it", "--rm", "--name=x", "a", "ls", "--rm", "-la", "--", "-t"]);
    assert_eq!(flags.words, ["a", "ls", "--rm", "-la", "--", "-t"]);
    assert!(flags.process.interactive && flags.process.tty && flags.life.rm);
    let flags = parse(&["-t=false", "--sig-proxy=false", "a", "-c"]);
    assert!(!flags.process.tty && !flags.life.sig_proxy);
    assert_eq!(flags.words, ["a", "-c"]);
}

#[test]
fn nothing_said_is_the_safe_thing() {
    let place = place();
    let (desired, ids) = place.with(&["a"], r#"{"Cmd":["sh"]}"#).unwrap();
    let security = &desired.security;
    assert!(!security.privileged && security.no_new_privileges && !security.read_only);
    assert_eq!(security.seccomp, Seccomp::Default);
    assert_eq!(security.capabilities, crate::bundle::capabilities::DEFAULT);
    assert!(security.added_capabilities.is_empty() && security.unmasked.is_empty());
    for namespace in
        [&desired.isolation.pid, &desired.isolation.ipc, &desired.isolation.uts, &desired.isolation.cgroup]
    {
        assert_eq!(*namespace, Namespace::Private);
    }
    assert_eq!(desired.network.mode, NetworkMode::Bridge(Vec::new()));
    assert_eq!(desired.limits.pids, None, "which is 512 at the start");
    assert_eq!(desired.limits.shm_size, 64 << 20);
    assert_eq!((desired.stop_signal, desired.stop_timeout), (15, 10));
    assert_eq!(ids, Ids::Auto(None));
    assert_eq!(desired.process.args, ["sh"]);
    assert_eq!(desired.restart, RestartPolicy::No);
}

/// Each flag and what it makes of the record.
#[test]
#[expect(clippy::too_many_lines, reason = "one row per flag")]
fn each_flag_changes_what_it_says() {
    type Check = fn(&Desired) -> bool;
    let place = place();
    let table: &[(&[&str], Check)] = &[
        (&["-e", "A=b"], |d| d.process.env == ["A=b"]),
        (&["-w", "/srv"], |d| d.process.cwd.ends_with("srv")),
        (&["--entrypoint", "/bin/x"], |d| d.process.args == ["/bin/x"]),
        (&["-u", "web:7"], |d| d.process.user == "web:7"),
        (&["--group-add", "a,b"], |d| d.process.groups == ["a", "b"]),
        (&["-i"], |d| d.process.interactive),
        (&["-t"], |d| d.process.tty),
        (&["--init"], |d| d.process.init),
        (&["--umask", "0027"], |d| d.process.umask == Some(0o27)),
        (&["-h", "web"], |d| d.process.hostname.as_deref() == Some("web")),
        (&["--systemd", "always"], |d| d.process.systemd && d.stop_signal == 37),
        (&["--name", "x"], |d| d.name == "x"),
        (&["--rm"], |d| d.auto_remove),
        (&["-l", "a=b", "--label", "c"], |d| d.labels["a"] == "b" && d.labels["c"].is_empty()),
        (&["--annotation", "a=b"], |d| d.annotations["a"] == "b"),
        (&["--restart", "always"], |d| d.restart == RestartPolicy::Always),
        (&["--stop-signal", "INT"], |d| d.stop_signal == 2),
        (&["--stop-timeout", "3"], |d| d.stop_timeout == 3),
        (&["--timeout", "9"], |d| d.timeout == Some(9)),
        (&["--pidfile", "/x/pid"], |d| d.pid_file.as_deref() == Some("/x/pid".as_ref())),
        (&["--conmon-pidfile", "/x/pid"], |d| d.supervisor_pid_file.is_some()),
        (&["--log-driver", "none"], |d| d.log.none),
        (&["--log-opt", "max-size=1m"], |d| d.log.max_size == 1 << 20),
        (&["-a", "stdout"], |d| d.attach.stdout && !d.attach.stdin && !d.attach.stderr),
        (&["--detach-keys", "ctrl-a"], |d| d.attach.detach_keys == "ctrl-a"),
        (&["--sig-proxy=false"], |d| !d.attach.sig_proxy),
        (&["-v", "/etc:/host:ro"], |d| d.mounts[0].read_only),
        (&["--mount", "type=tmpfs,dst=/x"], |d| matches!(d.mounts[0].kind, MountKind::Tmpfs { .. })),
        (&["--tmpfs", "/x"], |d| matches!(d.mounts[0].kind, MountKind::Tmpfs { .. })),
        (&["--device", "/dev/null:/dev/x:r"], |d| d.devices[0].access == "r"),
        (&["-m", "64m"], |d| d.limits.memory == Some(64 << 20)),
        (&["-m", "64m", "--memory-swap", "-1"], |d| d.limits.memory_swap == Some(-1)),
        (&["--memory-reservation", "1m"], |d| d.limits.memory_reservation == Some(1 << 20)),
        (&["--memory-swappiness", "7"], |d| d.limits.memory_swappiness == Some(7)),
        (&["--cpus", "1.5"], |d| d.limits.cpu_milli == Some(1500)),
        (&["--cpu-shares", "7"], |d| d.limits.cpu_shares == Some(7)),
        (&["--cpu-quota", "5000", "--cpu-period", "10000"], |d| {
            d.limits.cpu_quota == Some(5000) && d.limits.cpu_period == Some(10_000)
        }),
        (&["--cpuset-cpus", "0-1"], |d| d.limits.cpuset_cpus.as_deref() == Some("0-1")),
        (&["--cpuset-mems", "0"], |d| d.limits.cpuset_mems.as_deref() == Some("0")),
        (&["--pids-limit", "-1"], |d| d.limits.pids == Some(-1)),
        (&["--pids-limit", "7"], |d| d.limits.pids == Some(7)),
        (&["--blkio-weight", "100"], |d| d.limits.blkio_weight == Some(100)),
        (&["--ulimit", "nofile=1:2"], |d| d.limits.ulimits[0].hard == 2),
        (&["--oom-score-adj", "-5"], |d| d.limits.oom_score_adj == Some(-5)),
        (&["--oom-kill-disable"], |d| d.limits.oom_kill_disable),
        (&["--shm-size", "1m"], |d| d.limits.shm_size == 1 << 20),
        (&["--cgroup-parent", "/x"], |d| d.limits.cgroup_parent.as_deref() == Some("/x")),
        (&["--cgroup-conf", "memory.high=1"], |d| d.limits.unified["memory.high"] == "1"),
        (&["--privileged"], |d| {
            d.security.privileged
                && !d.security.no_new_privileges
                && d.security.seccomp == Seccomp::Unconfined
                && d.security.capabilities.len() > 30
        }),
        (&["--cap-add", "net_admin"], |d| d.security.added_capabilities == ["CAP_NET_ADMIN"]),
        (&["--cap-drop", "all"], |d| d.security.capabilities.is_empty()),
        (&["--security-opt", "no-new-privileges=false"], |d| !d.security.no_new_privileges),
        (&["--security-opt", "no-new-privileges:true", "--privileged"], |d| d.security.no_new_privileges),
        (&["--security-opt", "seccomp=unconfined"], |d| d.security.seccomp == Seccomp::Unconfined),
        (&["--security-opt", "seccomp=/etc/passwd"], |d| {
            d.security.seccomp == Seccomp::File("/etc/passwd".into())
        }),
        (&["--security-opt", "label=type:x_t"], |d| {
            d.security.selinux.as_deref() == Some("system_u:system_r:x_t:s0")
        }),
        (&["--security-opt", "mask=/a:/b"], |d| d.security.masked.len() == 2),
        (&["--security-opt", "unmask=ALL"], |d| d.security.unmasked == [std::path::Path::new("/")]),
        (&["--security-opt", "proc-opts=hidepid=2"], |d| d.security.proc_options == ["hidepid=2"]),
        (&["--read-only"], |d| d.security.read_only && d.security.read_only_tmpfs),
        (&["--read-only", "--read-only-tmpfs=false"], |d| !d.security.read_only_tmpfs),
        (&["--sysctl", "net.core.somaxconn=7"], |d| d.security.sysctl["net.core.somaxconn"] == "7"),
        (&["--userns", "host"], |d| d.isolation.user == UserNamespace::Host),
        (
            &["--uidmap", "0:1000:10"],
            |d| matches!(&d.isolation.user, UserNamespace::Private { uids, gids } if uids == gids && uids[0].host == 1000),
        ),
        (&["--pid", "host"], |d| d.isolation.pid == Namespace::Host),
        (&["--ipc", "host"], |d| d.isolation.ipc == Namespace::Host),
        (&["--uts", "host"], |d| d.isolation.uts == Namespace::Host),
        (&["--cgroupns", "host"], |d| d.isolation.cgroup == Namespace::Host),
        (&["--pid", "container:web"], |d| matches!(d.isolation.pid, Namespace::Container(_))),
        (&["--pid", "ns:/proc/self/ns/pid"], |d| matches!(d.isolation.pid, Namespace::Path(_))),
        (&["--network", "none"], |d| d.network.mode == NetworkMode::None),
        (&["--net", "host"], |d| d.network.mode == NetworkMode::Host && d.process.hostname.is_some()),
        (&["--network", "container:web"], |d| matches!(d.network.mode, NetworkMode::Container(_))),
        (
            &["--network", "a:ip=10.0.0.7", "--network", "b"],
            |d| matches!(&d.network.mode, NetworkMode::Bridge(all) if all.len() == 2 && all[0].ip.is_some()),
        ),
        (
            &["--ip", "10.0.0.7", "--mac-address", "92:d0:c6:0a:29:33", "--network-alias", "db"],
            |d| matches!(&d.network.mode, NetworkMode::Bridge(all) if all[0].ip.is_some() && all[0].mac.is_some() && all[0].aliases == ["db"]),
        ),
        (&["-p", "8080:80"], |d| d.network.ports[0].host == 8080),
        (&["-P", "--expose", "80"], |d| d.network.ports[0].container == 80 && d.network.ports[0].host == 0),
        (&["--dns", "1.1.1.1", "--dns-search", "x.org", "--dns-option", "ndots:2"], |d| {
            d.network.dns.len() == 1
                && d.network.dns_search == ["x.org"]
                && d.network.dns_options == ["ndots:2"]
        }),
        (&["--add-host", "db:10.0.0.7"], |d| d.network.hosts.len() == 1),
        (&["--no-hosts"], |d| d.network.no_hosts),
        (&["--health-cmd", "true", "--health-interval", "5s"], |d| {
            d.health.as_ref().unwrap().interval_ms == 5000
        }),
        (&["--no-healthcheck"], |d| d.health.is_none()),
    ];
    for (flags, check) in table {
        let words = [flags, &["a"][..]].concat();
        assert!(check(&place.desired(&words)), "{flags:?}: {:#?}", place.desired(&words));
    }
}

#[test]
fn each_fault_is_named_with_its_flag_and_all_of_them_at_once() {
    let place = place();
    let table: &[&[&str]] = &[
        &["--memory", "x"],
        &["--memory-swap", "1g"],
        &["--memory-swappiness", "101"],
        &["--cpus", "x"],
        &["--cpu-shares", "1"],
        &["--cpuset-cpus", "x"],
        &["--pids-limit", "-2"],
        &["--blkio-weight", "5"],
        &["--ulimit", "files=1"],
        &["--oom-score-adj", "2000"],
        &["--shm-size", "x"],
        &["--cgroup-parent", "../x"],
        &["--cgroup-conf", "x"],
        &["--env", "=x"],
        &["--env-file", "/nowhere"],
        &["--workdir", "srv"],
        &["--entrypoint", "[x"],
        &["--umask", "9"],
        &["--hostname", "a b"],
        &["--tz", "../passwd"],
        &["--sdnotify", "healthy"],
        &["--systemd=x"],
        &["--name", ".x"],
        &["--replace"],
        &["--label", "=x"],
        &["--restart", "x"],
        &["--stop-signal", "x"],
        &["--log-driver", "syslog"],
        &["--log-opt", "x=y"],
        &["--attach", "x"],
        &["--detach-keys", "xx"],
        &["--runtime", "no-such-runtime"],
        &["--volume", "a/b:/c"],
        &["--volume", "/nowhere/x:/c"],
        &["--mount", "type=image,src=a,dst=/b"],
        &["--tmpfs", "x"],
        &["--volumes-from", "ghost"],
        &["--device", "/etc/passwd:x"],
        &["--secret", "ghost"],
        &["--cap-add", "nope"],
        &["--security-opt", "nope"],
        &["--security-opt", "seccomp=/nowhere"],
        &["--sysctl", "vm.swappiness=1"],
        &["--userns", "nope"],
        &["--uidmap", "x"],
        &["--pid", "nope"],
        &["--pid", "container:ghost"],
        &["--ipc", "ns:relative"],
        &["--network", "container:ghost"],
        &["--network", "slirp4netns"],
        &["--publish", "x"],
        &["--expose", "x"],
        &["--add-host", "x"],
        &["--mac-address", "x"],
        &["--pull", "sometimes"],
        &["--platform", "x"],
        &["--creds", ":x"],
        &["--retry-delay", "x"],
        &["--decryption-key", "x"],
        &["--health-cmd", "[x"],
        &["--health-retries", "0"],
        &["--health-on-failure", "x"],
        &["--pod", "x"],
        &["--unsetenv-all"],
        &["--gpus", "all"],
    ];
    for flags in table {
        let words = [flags, &["a"][..]].concat();
        let text = place.fault(&words);
        let flag = flags[0].split('=').next().unwrap();
        assert!(text.contains(flag), "{flags:?}: {text}");
        assert!(!text.contains("faults:"), "{flags:?}: {text}");
    }
    let all: Vec<&str> = table
        .iter()
        .filter(|flags| flags.len() == 2 && flags[0] != "--network")
        .flat_map(|flags| flags.iter().copied())
        .collect();
    // Options that may be said once only are said once.
    let mut seen = std::collections::HashSet::new();
    let once: Vec<&str> = all.chunks(2).filter(|pair| seen.insert(pair[0])).flatten().copied().collect();
    let text = place.fault(&[&once[..], &["a"]].concat());
    assert!(text.starts_with(&format!("{} faults:", text.lines().count() - 1)), "{text}");
    for pair in once.chunks(2) {
        assert!(text.contains(pair[0]), "{} is missing: {text}", pair[0]);
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let place = place();
    let table: &[&[&str]] = &[
        &["--rm", "--restart", "always"],
        &["--cpus", "1", "--cpu-quota", "5000"],
        &["--no-hosts", "--add-host", "a:1.1.1.1"],
        &["--network", "none", "-p", "80"],
        &["--network", "container:web", "--dns", "1.1.1.1"],
        &["--network", "host", "--network", "a"],
        &["--network", "host", "--ip", "10.0.0.7"],
        &["--network", "a", "--network", "b", "--ip", "10.0.0.7"],
        &["--network", "a", "--network", "a"],
        &["--userns", "auto", "--uidmap", "0:1:1"],
        &["--uts", "host", "-h", "x"],
        &["-v", "a:/x", "--tmpfs", "/x"],
        &["--platform", "linux/amd64", "--arch", "arm64"],
        &["--no-healthcheck", "--health-cmd", "x"],
        &["--network", "host", "--sysctl", "net.core.somaxconn=1"],
        &["--ipc", "host", "--sysctl", "kernel.sem=1"],
        &["--userns", "keep-id"],
    ];
    for flags in table {
        place.fault(&[flags, &["a"][..]].concat());
    }
}

#[test]
fn our_own_store_is_never_mounted() {
    let place = place();
    let store = place.folders.store.to_str().unwrap().to_owned();
    let text = place.fault(&["-v", &format!("{store}:/x"), "a"]);
    assert!(text.contains("own store"), "{text}");
    place.fault(&["--mount", &format!("type=bind,src={store}/containers,dst=/x"), "a"]);
}

const IMAGE: &str = r#"{"Entrypoint":["/entry"],"Cmd":["serve"],"Env":["PATH=/bin","A=image","=bad","bare"],
    "WorkingDir":"srv","User":"web","ExposedPorts":{"80/tcp":{},"53/udp":{},"nonsense":{}},"Volumes":{"/data":{},"/cache/":{}},
    "Labels":{"a":"image","b":"image"},"StopSignal":"SIGQUIT","Healthcheck":{"Test":["CMD","/check"],"Interval":1000000000}}"#;

#[test]
fn the_image_decides_what_nobody_says() {
    let place = place();
    let (desired, _) = place.with(&["a"], IMAGE).unwrap();
    assert_eq!(desired.process.args, ["/entry", "serve"]);
    assert_eq!(desired.process.env, ["PATH=/bin", "A=image"]);
    assert_eq!(desired.process.cwd, std::path::Path::new("/srv"));
    assert_eq!((desired.process.user.as_str(), desired.stop_signal), ("web", 3));
    assert_eq!(desired.labels["b"], "image");
    assert_eq!(desired.health.unwrap().interval_ms, 1000);
    assert!(desired.network.ports.is_empty());
    let volumes: Vec<_> = desired.mounts.iter().map(|mount| mount.destination.to_str().unwrap()).collect();
    assert_eq!(volumes, ["/cache", "/data"]);
    assert!(desired.annotations.is_empty(), "u17: labels are no annotations");
}

#[test]
fn flags_stand_before_the_image() {
    let place = place();
    let words = [
        "-e",
        "A=mine",
        "-w",
        "/x",
        "-u",
        "0",
        "-l",
        "a=mine",
        "--stop-signal",
        "9",
        "-P",
        "--no-healthcheck",
        "-v",
        "own:/data",
        "--image-volume",
        "ignore",
        "a",
        "one",
        "two",
    ];
    let (desired, _) = place.with(&words, IMAGE).unwrap();
    assert_eq!(desired.process.args, ["/entry", "one", "two"]);
    assert_eq!(desired.process.env, ["PATH=/bin", "A=mine"]);
    assert_eq!((desired.process.user.as_str(), desired.stop_signal), ("0", 9));
    assert_eq!((desired.labels["a"].as_str(), desired.labels["b"].as_str()), ("mine", "image"));
    assert!(desired.health.is_none());
    assert_eq!(desired.network.ports.len(), 2);
    assert_eq!(desired.mounts.len(), 1);
    let (desired, _) = place.with(&["--entrypoint", "", "a", "sh"], IMAGE).unwrap();
    assert_eq!(desired.process.args, ["sh"]);
    let nothing = place.with(&["--entrypoint", "", "a"], IMAGE).unwrap_err();
    assert!(nothing.to_string().contains("no command"), "{nothing}");
}

#[test]
fn an_image_that_asks_for_the_impossible_is_refused() {
    let place = place();
    for config in [
        r#"{"Cmd":["x"],"Volumes":{"/":{}}}"#,
        r#"{"Cmd":["x"],"Volumes":{"/a/../..":{}}}"#,
        r#"{"Cmd":["x\u0000y"]}"#,
        r#"{"Cmd":["x"],"Env":["A=\u0000"]}"#,
    ] {
        assert!(matches!(place.with(&["a"], config), Err(RunnerError::Content(_))), "{config}");
    }
    assert_eq!(place.desired(&["a"]).process.args, ["sh"]);
}

#[test]
fn ids_of_its_own_wherever_nothing_stands_against_them() {
    let place = place();
    let ids = |words: &[&str]| place.with(&[words, &["a", "sh"]].concat(), "{}").unwrap().1;
    let host = Ids::Fixed(UserNamespace::Host);
    assert_eq!(ids(&[]), Ids::Auto(None));
    assert_eq!(ids(&["--userns", "auto:size=1000"]), Ids::Auto(Some(1000)));
    for shared in [
        &["--privileged"][..],
        &["--userns", "host"],
        &["--network", "host"],
        &["--pid", "host"],
        &["--ipc", "host"],
        &["-v", "/proc/sys:/x"],
        &["--network", "container:web"],
    ] {
        assert_eq!(ids(shared), host, "{shared:?}");
    }
    assert!(matches!(
        place.with(&["--userns", "auto", "-v", "/proc/sys:/x", "a", "sh"], "{}"),
        Err(RunnerError::Unsupported(_))
    ));
    let mut own = other("own", 9);
    own.isolation.user = UserNamespace::Private { uids: Vec::new(), gids: Vec::new() };
    place.records.create(&own).unwrap();
    assert_eq!(ids(&["--network", "container:own"]), Ids::Fixed(UserNamespace::Container(own.id)));
    let two = place.with(&["--network", "container:own", "--pid", "container:web", "a", "sh"], "{}");
    assert!(matches!(two, Err(RunnerError::Usage(_))));
}
