//! Published ports: each is held by a socket of the process that looks after the container, so that no other program
//! takes it, and so that one that is taken is found out before the container starts. Packets never reach the socket:
//! the packet filter sends them to the container.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt},
};

use super::lease::Lease;
use crate::{
    error::{Result, RunnerError},
    record::{Port, Protocol},
};

/// Sockets that hold published ports for as long as they are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldPorts {
    sockets: Arc<Vec<OwnedFd>>,
}

impl HeldPorts {
    /// Sockets that an earlier program of this process held.
    pub(crate) fn handed(sockets: Vec<OwnedFd>) -> Self {
        Self { sockets: Arc::new(sockets) }
    }

    /// Each of them, for the program that this process becomes.
    pub(crate) fn each(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Takes ports again whose holder was killed. Those that another program took meanwhile stay with it: the
    /// container's rules go before it.
    pub(crate) fn again(ports: &[Port]) -> Self {
        let sockets = ports.iter().filter_map(|port| take(port).ok().flatten());
        Self::handed(sockets.map(|(socket, _)| socket).collect())
    }
}

impl PartialEq for HeldPorts {
    /// Which sockets hold the ports says nothing about the ports.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for HeldPorts {}

/// Takes ports; those of number 0 get a free one.
///
/// # Errors
/// [`RunnerError::Conflict`] with the port and who has it; [`RunnerError::Usage`] for an address that is not this
/// machine's.
pub(crate) fn hold(wanted: &[Port], leases: &[Lease]) -> Result<(Vec<Port>, HeldPorts)> {
    let (mut ports, mut sockets) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
    for port in wanted {
        let mut port = port.clone();
        if let Some(other) = leases.iter().find(|lease| lease.ports.iter().any(|other| clash(other, &port))) {
            return Err(taken(&port, &format!("container {}", other.name)));
        }
        match take(&port) {
            Ok(Some((socket, number))) => {
                port.host = number;
                sockets.push(socket);
            }
            Ok(None) => {}
            Err(Errno::ADDRINUSE) => return Err(taken(&port, &owner(&port))),
            Err(Errno::ADDRNOTAVAIL) => {
                return Err(RunnerError::Usage(format!(
                    "--publish {}: this machine has no address {}: `ip address` lists those it has",
                    shown(&port),
                    port.address
                )));
            }
            Err(Errno::ACCESS) => {
                return Err(RunnerError::Unsupported(format!(
                    "--publish {}: ports below {} are root's here: choose a higher one, or lower \
                     net.ipv4.ip_unprivileged_port_start",
                    shown(&port),
                    fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
                        .unwrap_or("1024".into())
                        .trim()
                )));
            }
            Err(error) => {
                return Err(RunnerError::Io {
                    what: format!("taking port {}", shown(&port)),
                    source: error.into(),
                });
            }
        }
        ports.push(port);
    }
    Ok((ports, HeldPorts::handed(sockets)))
}

fn shown(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    format!("{}/{protocol}", SocketAddr::new(port.address, port.host))
}

fn taken(port: &Port, who: &str) -> RunnerError {
    RunnerError::Conflict(format!(
        "port {} is in use by {who}: publish another, or 0 for one that is free",
        shown(port)
    ))
}

fn clash(a: &Port, b: &Port) -> bool {
    let everywhere = a.address.is_unspecified() || b.address.is_unspecified();
    let version = a.address.is_ipv4() == b.address.is_ipv4();
    (a.protocol, a.host) == (b.protocol, b.host)
        && a.host != 0
        && version
        && (everywhere || a.address == b.address)
}

/// A socket on a port, and the port's number. SCTP is not in every kernel and has no socket: the rule alone stands.
fn take(port: &Port) -> Result<Option<(OwnedFd, u16)>, Errno> {
    let kind = match port.protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
        Protocol::Sctp => return Ok(None),
    };
    let family = if port.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if port.address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        // Past connections that are only remembered; against a program that listens it is no help.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &SocketAddr::new(port.address, port.host))?;
    if kind == SocketType::STREAM {
        // One that listens cannot be shared, whatever the other program asks for.
        listen(&socket, 1)?;
    }
    let number = SocketAddr::try_from(getsockname(&socket)?).map_err(|_| Errno::INVAL)?.port();
    Ok(Some((socket, number)))
}

/// The program that has a port, from the kernel's lists: by the number of the socket to a process.
fn owner(port: &Port) -> String {
    let list = match (port.protocol, port.address) {
        (Protocol::Udp, IpAddr::V4(_)) => ["udp", "udp6"],
        (Protocol::Udp, IpAddr::V6(_)) => ["udp6", "udp"],
        (_, IpAddr::V4(_)) => ["tcp", "tcp6"],
        (_, IpAddr::V6(_)) => ["tcp6", "tcp"],
    };
    let socket = list.iter().find_map(|list| socket_number(&format!("/proc/thread-self/net/{list}"), port));
    let process = socket.and_then(|socket| holder(&format!("socket:[{socket}]")));
    process.map_or_else(|| "another program".into(), |(name, pid)| format!("{name} (process {pid})"))
}

fn socket_number(list: &str, port: &Port) -> Option<String> {
    let text = fs::read_to_string(list).ok()?;
    let ending = format!(":{:04X}", port.host);
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Listening, or a datagram socket without a peer.
        let waits = matches!(*fields.get(3)?, "0A" | "07");
        (waits && fields.get(1)?.ends_with(&ending)).then(|| (*fields.get(9)?).to_owned().into())?
    })
}

fn holder(link: &str) -> Option<(String, i32)> {
    let processes = fs::read_dir("/proc").ok()?;
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        if files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link))
        {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((name.trim().to_owned(), pid));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn port(host: u16, protocol: Protocol) -> Port {
        Port { address: Port::ADDRESS, host, container: 80, protocol }
    }

    #[test]
    fn a_held_port_is_nobody_elses_and_a_taken_one_is_named_with_its_owner() {
        let (ports, held) = hold(&[port(0, Protocol::Tcp), port(0, Protocol::Udp)], &[]).unwrap();
        assert!(ports.iter().all(|port| port.host != 0));
        assert!(TcpListener::bind((Port::ADDRESS, ports[0].host)).is_err());
        assert!(UdpSocket::bind((Port::ADDRESS, ports[1].host)).is_err());
        let error = hold(&ports, &[]).unwrap_err().to_string();
        let own = std::process::id();
        assert!(error.contains(&format!("127.0.0.1:{}/tcp", ports[0].host)), "{error}");
        assert!(error.contains(&format!("(process {own})")), "{error}");
        drop(held);
        TcpListener::bind((Port::ADDRESS, ports[0].host)).unwrap();
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let far = Port { address: "192.0.2.77".parse().unwrap(), ..port(0, Protocol::Tcp) };
        assert!(matches!(hold(&[far], &[]), Err(RunnerError::Usage(_))));
    }

    #[test]
    fn ports_clash_where_their_addresses_do() {
        let here = port(80, Protocol::Tcp);
        let everywhere = Port { address: "0.0.0.0".parse().unwrap(), ..here.clone() };
        let six = Port { address: "::".parse().unwrap(), ..here.clone() };
        assert!(clash(&here, &everywhere) && clash(&here, &here));
        assert!(
            !clash(&here, &six)
                && !clash(&here, &port(80, Protocol::Udp))
                && !clash(&here, &port(81, Protocol::Tcp))
        );
    }
}
