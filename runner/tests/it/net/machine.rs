//! A machine in a network namespace of its own, containers that are processes in others, and a neighbour. Nothing
//! here touches the network of the machine that the tests run on.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Whether this is root; whoever is not is told, and a test run for others does not take it for a success.
pub(crate) fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "network tests have to run as root");
        eprintln!("skipped: only root makes network namespaces with bridges");
    }
    root
}

/// A process that holds namespaces and ends when its input does.
pub(crate) struct Holder {
    pid: u32,
    /// Absent where the process is somebody else's.
    child: Option<Child>,
    input: Option<ChildStdin>,
}

impl Holder {
    /// One beside `inside`, or beside this process; `prepare` is a shell's command run in it first.
    fn new(inside: Option<u32>, prepare: &str) -> Self {
        let script = format!("{prepare} && echo ready && exec cat");
        let unshare = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", &script];
        let mut command = match inside {
            Some(pid) => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &pid.to_string(), "--net", "--mount", "--"]).args(unshare);
                command
            }
            None => {
                let mut command = Command::new(unshare[0]);
                command.args(&unshare[1..]);
                command
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "a namespace could not be made");
        Self { pid: child.id(), input: child.stdin.take(), child: Some(child) }
    }

    /// The namespaces of a process that is looked after elsewhere.
    pub(crate) fn beside(pid: u32) -> Self {
        Self { pid, child: None, input: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    fn end(&mut self) {
        drop(self.input.take());
        if let Some(child) = &mut self.child {
            let _killed = child.kill();
            let _ended = child.wait();
        }
    }

    /// Runs a shell's command in the namespaces.
    pub(crate) fn shell(&self, script: &str) -> String {
        let output = self.try_shell(script);
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn try_shell(&self, script: &str) -> Output {
        let pid = self.pid().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid, "--net", "--mount", "--", "sh", "-c", script]).output().unwrap()
    }

    /// Does something in the network namespace.
    pub(crate) fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            thread.join().unwrap()
        })
    }

    /// What a server says by TCP.
    pub(crate) fn tcp(&self, to: impl Into<SocketAddr>) -> io::Result<String> {
        let to = to.into();
        self.inside(move || {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_millis(700))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        })
    }

    /// What a server says by UDP.
    pub(crate) fn udp(&self, to: impl Into<SocketAddr>, packet: &[u8]) -> io::Result<Vec<u8>> {
        let to = to.into();
        self.inside(move || {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(Duration::from_millis(700)))?;
            socket.connect(to)?;
            socket.send(packet)?;
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer)?;
            Ok(buffer[..length].to_vec())
        })
    }

    /// Serves: by TCP the text and the address of who asks, by UDP whatever `answer` makes of a packet.
    pub(crate) fn serve(&self, at: impl Into<SocketAddr>, text: &str) -> Service {
        let (at, text) = (at.into(), text.to_owned());
        let (tcp, udp) = self.inside(move || (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap()));
        let said = text.clone();
        Service::new(tcp, udp, text, Box::new(move |_| Some(said.clone().into_bytes())))
    }

    /// A server of UDP packets.
    pub(crate) fn answer(&self, at: impl Into<SocketAddr>, answer: Answer) -> Service {
        let at = at.into();
        let (tcp, udp) = self.inside(move || (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap()));
        Service::new(tcp, udp, String::new(), answer)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

type Answer = Box<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send>;

/// A server that ends with this value.
pub(crate) struct Service {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    fn new(tcp: TcpListener, udp: UdpSocket, text: String, answer: Answer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut fds = [PollFd::new(&tcp, PollFlags::IN), PollFd::new(&udp, PollFlags::IN)];
                let time = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                let _count = poll(&mut fds, Some(&time)).unwrap();
                let (knock, packet) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
                if knock && let Ok((mut stream, from)) = tcp.accept() {
                    let _sent = write!(stream, "{text} {}", from.ip().to_canonical());
                }
                if packet {
                    let mut buffer = [0; 4096];
                    if let Ok((length, from)) = udp.recv_from(&mut buffer)
                        && let Some(answer) = answer(&buffer[..length])
                    {
                        let _sent = udp.send_to(&answer, from);
                    }
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The machine.
pub(crate) struct Machine {
    pub(crate) host: Holder,
    folder: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("berth-runner-net-").tempdir().unwrap();
        std::fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.7\n").unwrap();
        let resolver = folder.path().join("resolv.conf");
        let prepare = format!("ip link set lo up && mount --bind {} /etc/resolv.conf", resolver.display());
        Self { host: Holder::new(None, &prepare), folder }
    }

    pub(crate) fn run_folder(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn inside(&self, pid: u32) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &pid.to_string(),
            "--net",
            "--mount",
            "--",
            env!("CARGO_BIN_EXE_berth-runner"),
        ]);
        command
    }

    /// Runs the program on the machine.
    pub(crate) fn runner(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.inside(self.host.pid());
        command.env("BERTH_RUNNER_ROOT", self.store()).env("BERTH_RUNNER_RUNROOT", self.run_folder());
        // Left out: a test may itself be run by a service manager.
        command.env_remove("INVOCATION_ID").args(arguments);
        command
    }

    pub(crate) fn network(&self, arguments: &[&str]) -> String {
        let output = self.runner(&[&["network"], arguments].concat());
        assert!(output.status.success(), "network {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A machine beside it, on a wire: 192.0.2.1 and 2001:db8::1 here, .2 and ::2 there.
    pub(crate) fn neighbour(&self) -> Holder {
        let other = Holder::new(None, "ip link set lo up");
        self.host.shell(&format!(
            "ip link add lan0 type veth peer name lan0 netns {} && \
             echo 0 > /proc/sys/net/ipv6/conf/lan0/accept_dad && ip link set lan0 up && \
             ip addr add 192.0.2.1/24 dev lan0 && ip addr add 2001:db8::1/64 dev lan0 nodad",
            other.pid()
        ));
        other.shell(
            "echo 0 > /proc/sys/net/ipv6/conf/lan0/accept_dad && ip link set lan0 up && ip addr add 192.0.2.2/24 dev lan0 && ip addr add 2001:db8::2/64 dev lan0 nodad",
        );
        other
    }

    /// A container's process without a network.
    pub(crate) fn process(&self) -> Holder {
        Holder::new(Some(self.host.pid()), "true")
    }

    /// Starts what looks after the network of `process`.
    pub(crate) fn companion(&self, record: &Value, process: &Holder) -> Child {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.path().join(format!("record-{number}.json"));
        std::fs::write(&path, record.to_string()).unwrap();
        let mut command = self.inside(self.host.pid());
        command.arg("__network").arg(self.store()).arg(self.run_folder()).arg(path);
        command.arg(process.pid().to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// A container with its network, or why there is none.
    pub(crate) fn try_container(&self, record: &Value) -> Result<Container, String> {
        let process = self.process();
        let mut companion = self.companion(record, &process);
        let mut line = String::new();
        BufReader::new(companion.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let output = companion.wait_with_output().unwrap();
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let answer: Value = serde_json::from_str(&line).unwrap();
        let id = record["id"].as_str().unwrap();
        let resolver = self.run_folder().join("containers").join(id).join("etc/resolv.conf");
        process.shell(&format!("mount --bind {} /etc/resolv.conf", resolver.display()));
        Ok(Container { process, companion, answer, id: id.to_owned() })
    }

    pub(crate) fn container(&self, record: &Value) -> Container {
        self.try_container(record).unwrap()
    }

    /// What is left of containers: interfaces, rules, leases and programs.
    pub(crate) fn left(&self) -> String {
        let links = self.host.shell("ip -o link | grep -v ': lo:' | grep -v ': lan0' || true");
        let rules = self.host.shell("nft list ruleset");
        let leases = std::fs::read_dir(self.run_folder().join("network/leases"));
        let leases = leases.map_or(0, |entries| entries.count());
        format!("{links}{rules}{}", if leases == 0 { String::new() } else { format!("{leases} leases") })
    }

    /// Name servers that run for this machine.
    pub(crate) fn name_servers(&self) -> Vec<u32> {
        let run = self.run_folder();
        let run = run.to_str().unwrap();
        let mut found = Vec::new();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let line = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            if line.contains("\0__names\0") && line.contains(run) {
                found.push(pid);
            }
        }
        found
    }
}

/// A container.
pub(crate) struct Container {
    pub(crate) process: Holder,
    pub(crate) companion: Child,
    pub(crate) answer: Value,
    pub(crate) id: String,
}

impl Container {
    /// Its addresses on its network number `link`.
    pub(crate) fn addresses(&self, link: usize) -> Vec<IpAddr> {
        let addresses = self.answer["links"][link]["addresses"].as_array().unwrap();
        addresses.iter().map(|pair| pair[0].as_str().unwrap().parse().unwrap()).collect()
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.addresses(0)[0]
    }

    pub(crate) fn gateway(&self, link: usize) -> IpAddr {
        self.answer["links"][link]["gateways"][0].as_str().unwrap().parse().unwrap()
    }

    /// The number on the machine of published port number `index`.
    pub(crate) fn port(&self, index: usize) -> u16 {
        u16::try_from(self.answer["ports"][index]["host"].as_u64().unwrap()).unwrap()
    }

    /// As its supervisor ends it.
    pub(crate) fn end(mut self) {
        self.process.end();
        drop(self.companion.stdin.take());
        let mut errors = String::new();
        self.companion.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert!(self.companion.wait().unwrap().success(), "{errors}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _killed = self.companion.kill();
        let _ended = self.companion.wait();
    }
}

/// One network of a record.
pub(crate) fn on(network: &str) -> Value {
    json!({ "network": network, "aliases": [], "ip": null, "mac": null })
}

/// A published port.
pub(crate) fn publish(address: &str, host: u16, container: u16, protocol: &str) -> Value {
    json!({ "address": address, "host": host, "container": container, "protocol": protocol })
}

/// A record.
pub(crate) fn record(name: &str, mode: Value, ports: &[Value]) -> Value {
    // Any 64 digits that differ by name.
    let seed = name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
    let id: String = (1..=4_u64).map(|n| format!("{:016x}", seed.wrapping_mul(n * 2 + 1))).collect();
    json!({
        "id": id, "name": name, "created": "2026-01-01T00:00:00Z", "image": null, "rootfs": "/nowhere",
        "labels": {}, "annotations": {},
        "process": { "args": [], "env": [], "cwd": "/", "user": "", "groups": [], "tty": false, "interactive": false,
            "init": false, "umask": null, "hostname": null, "sd_notify": false, "systemd": false },
        "mounts": [], "devices": [],
        "security": { "privileged": false, "capabilities": [], "no_new_privileges": true, "seccomp": "default",
            "apparmor": null, "selinux": null, "read_only": false, "read_only_tmpfs": true, "masked": [],
            "unmasked": [], "proc_options": [], "sysctl": {} },
        "limits": { "memory": null, "memory_swap": null, "memory_reservation": null, "memory_swappiness": null,
            "cpu_milli": null, "cpu_shares": null, "cpuset_cpus": null, "cpuset_mems": null, "pids": null,
            "blkio_weight": null, "ulimits": [], "oom_score_adj": null, "oom_kill_disable": false, "shm_size": 0,
            "cgroup_parent": null, "unified": {} },
        "isolation": { "pid": "private", "ipc": "private", "uts": "private", "cgroup": "private", "user": "host" },
        "network": { "mode": mode, "ports": ports, "dns": [], "dns_search": [], "dns_options": [], "hosts": [],
            "no_hosts": false },
        "restart": "no", "health": null, "stop_signal": 15, "stop_timeout": 10,
        "log": { "none": false, "max_size": 1, "max_files": 1 }, "auto_remove": false, "runtime": null,
        "create_command": [],
    })
}

/// A record of a container on networks.
pub(crate) fn on_networks(name: &str, networks: &[&str], ports: &[Value]) -> Value {
    let networks: Vec<_> = networks.iter().map(|network| on(network)).collect();
    record(name, json!({ "bridge": networks }), ports)
}
