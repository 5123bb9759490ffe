//! `hosts` and `resolv.conf` of a container. Both are mounted into it, so they are written in place: a file renamed
//! over would be one that the container does not see.

use std::{
    fs,
    io::{Read, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::lease::Lease;
use crate::{
    bundle::own_folder,
    error::{Result, RunnerError, While},
    folders::Folders,
    record::{Desired, NetworkMode, files},
    supervisor::live::Live,
};

/// What `/etc/resolv.conf` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolver {
    /// Addresses of name servers.
    pub(crate) servers: Vec<IpAddr>,
    /// Domains in which short names are looked up.
    pub(crate) search: Vec<String>,
    /// Options.
    pub(crate) options: Vec<String>,
}

impl Resolver {
    /// Reads the file's text; lines that say nothing known are left out, as the C library does.
    pub(crate) fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // `fe80::1%eth0` is an address of a link that a container is not on.
                    resolver.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => resolver.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        resolver
    }

    /// The machine's own, as programs on the machine use it.
    pub(crate) fn of_machine() -> Self {
        Self::parse(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
    }

    /// The machine's, as it is of use where the machine's loopback is not: servers of systemd-resolved in place of its
    /// stub, none that only the machine reaches.
    fn beyond_loopback() -> Self {
        let mut resolver = Self::of_machine();
        let stub = |server: &IpAddr| *server == IpAddr::from([127, 0, 0, 53]);
        if !resolver.servers.is_empty() && resolver.servers.iter().all(stub) {
            let text = fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or_default();
            resolver.servers = Self::parse(&text).servers;
        }
        resolver.servers.retain(|server| !server.is_loopback());
        resolver
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// What the two files depend on besides the record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Name servers of the container's networks.
    pub(crate) servers: Vec<IpAddr>,
    /// The container's own addresses.
    pub(crate) own: Vec<IpAddr>,
    /// The machine, as the container sees it.
    pub(crate) machine: Option<IpAddr>,
    /// Nothing leads out, so no other server is of use.
    pub(crate) internal: bool,
}

impl Surroundings {
    /// Those of a lease: what its networks' gateways serve.
    pub(crate) fn of(lease: &Lease, networks: &[super::definition::Network]) -> Self {
        let on = |name: &str| networks.iter().find(|network| network.name == name);
        let mut found = Self { internal: true, ..Self::default() };
        for held in &lease.links {
            let Some(network) = on(&held.link.network) else { continue };
            found.own.extend(held.link.addresses.iter().map(|(address, _)| *address));
            found.machine = found.machine.or_else(|| network.gateways().next());
            found.internal &= network.internal;
            if network.dns {
                found.servers.extend(network.gateways().next());
            }
        }
        found
    }
}

/// What is read of a file that a container writes.
const MOST: u64 = 512 << 10;

/// Writes both files of a container that is to start.
///
/// # Errors
/// [`RunnerError::Unsupported`] for `host-gateway` where the container does not see the machine.
pub(crate) fn write(folders: &Folders, desired: &Desired, surroundings: &Surroundings) -> Result<()> {
    let folder = own_folder::folder(folders, &desired.id);
    files::private_folder(&folder)?;
    let mut there = Vec::new();
    for (name, text) in texts(folders, desired, surroundings)? {
        let path = folder.join(name);
        match text {
            Some(text) => {
                in_place(&path, &text)?;
                there.push(name);
            }
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).doing("removing", &path);
                }
                Ok(()) | Err(_) => {}
            },
        }
    }
    own_folder::note(folders, &desired.id, &there)
}

/// Writes both anew for a container that runs, whose first process is `pid`.
///
/// # Errors
/// As [`write`].
pub(crate) fn rewrite(
    folders: &Folders,
    desired: &Desired,
    surroundings: &Surroundings,
    pid: i32,
) -> Result<()> {
    for (name, text) in texts(folders, desired, surroundings)? {
        if let Some(text) = text {
            own_folder::rewrite(folders, &desired.id, pid, name, &text)?;
        }
    }
    Ok(())
}

type Text = (&'static str, Option<Vec<u8>>);

/// What is to stand in both; nothing for one that the container is to have from its image.
fn texts(folders: &Folders, desired: &Desired, surroundings: &Surroundings) -> Result<[Text; 2]> {
    if let NetworkMode::Container(other) = &desired.network.mode {
        // Its network is the other's, and so is what is known about it.
        let pid = Live::read(folders, other)?.map_or(0, |live| live.pid);
        let theirs = |name| match own_folder::reach(folders, other, pid, name, false)? {
            Some(file) => written_inside(file, name).map(Some),
            None => Ok(None),
        };
        return Ok([("hosts", theirs("hosts")?), ("resolv.conf", theirs("resolv.conf")?)]);
    }
    let hosts =
        if desired.network.no_hosts { None } else { Some(hosts(desired, surroundings)?.into_bytes()) };
    let resolver = resolver(desired, surroundings).text().into_bytes();
    Ok([("hosts", hosts), ("resolv.conf", Some(resolver))])
}

/// Reads a file that a container may have made as large as it likes.
fn written_inside(file: fs::File, name: &str) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MOST + 1).read_to_end(&mut text).doing("reading", name)?;
    if text.len() as u64 <= MOST {
        return Ok(text);
    }
    Err(RunnerError::Content(format!(
        "/etc/{name} of the container whose network this one is to share is larger than the {} KiB that are taken over \
         of it: it made it so; make it smaller there",
        MOST >> 10
    )))
}

fn in_place(path: &Path, text: &[u8]) -> Result<()> {
    let mut options = fs::File::options();
    options.create(true).write(true).truncate(true).mode(0o644);
    let write = || options.open(path)?.write_all(text);
    write().map_err(|error: std::io::Error| error).doing("writing", path)
}

fn hosts(desired: &Desired, surroundings: &Surroundings) -> Result<String> {
    let mut text = String::new();
    let shares_host = desired.network.mode == NetworkMode::Host;
    let mut line = |address: IpAddr, names: &str| text.push_str(&format!("{address}\t{names}\n"));
    for (name, address) in &desired.network.hosts {
        let Some(address) = address.or(surroundings.machine) else {
            return Err(RunnerError::Unsupported(format!(
                "--add-host {name}:host-gateway: on this network a container has no way to the machine: use a network \
                 made with `berth-runner network create`, or give an address"
            )));
        };
        line(address, name);
    }
    let id = desired.id.as_str();
    let short = id.get(..12).unwrap_or(id);
    let own = desired.process.hostname.as_deref().unwrap_or(short);
    let own = if own == desired.name { own.to_owned() } else { format!("{own} {}", desired.name) };
    line(IpAddr::from([127, 0, 0, 1]), "localhost localhost.localdomain");
    line(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), "localhost localhost.localdomain");
    if surroundings.own.is_empty() {
        // A machine's name in Debian's way: found also where there is no network.
        line(IpAddr::from([127, 0, 1, 1]), &own);
    }
    for address in &surroundings.own {
        line(*address, &own);
    }
    if let Some(machine) = surroundings.machine {
        line(machine, "host.containers.internal host.docker.internal");
    }
    if shares_host {
        // What the machine's administrator wrote holds for a container that shares its network.
        let machine = fs::read_to_string("/etc/hosts").unwrap_or_default();
        text.push_str(&machine);
        if !machine.ends_with('\n') {
            text.push('\n');
        }
    }
    Ok(text)
}

fn resolver(desired: &Desired, surroundings: &Surroundings) -> Resolver {
    let wants = &desired.network;
    let mut resolver = match wants.mode {
        NetworkMode::Host => Resolver::of_machine(),
        NetworkMode::None => Resolver::default(),
        _ => Resolver::beyond_loopback(),
    };
    if !surroundings.servers.is_empty() {
        // It asks the machine's servers, or the container's own, for what it does not know.
        resolver.servers = surroundings.servers.clone();
    } else if !wants.dns.is_empty() {
        resolver.servers.clone_from(&wants.dns);
    } else if surroundings.internal {
        resolver.servers.clear();
    }
    if !wants.dns_search.is_empty() {
        // `.` is podman's word for none at all.
        resolver.search = wants.dns_search.iter().filter(|domain| *domain != ".").cloned().collect();
    }
    if !wants.dns_options.is_empty() {
        resolver.options.clone_from(&wants.dns_options);
    }
    resolver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_is_read_as_the_c_library_reads_it() {
        let text = "# a comment\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n\
                    domain old.example\nsearch a.example b.example\noptions ndots:2 edns0\nsortlist 1.2.3.4\n";
        let resolver = Resolver::parse(text);
        assert_eq!(
            resolver.servers,
            ["127.0.0.53".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]
        );
        assert_eq!(resolver.search, ["a.example", "b.example"]);
        assert_eq!(resolver.options, ["ndots:2", "edns0"]);
        assert_eq!(Resolver::parse(&resolver.text()), resolver);
    }

    #[test]
    fn of_a_file_that_a_container_made_huge_nothing_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        let read = || written_inside(fs::File::open(&path).unwrap(), "hosts");
        fs::write(&path, "127.0.0.1 localhost").unwrap();
        assert_eq!(read().unwrap(), b"127.0.0.1 localhost");
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(read(), Err(RunnerError::Content(_))));
    }

    #[test]
    fn a_file_is_written_in_place() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        in_place(&path, b"a longer text").unwrap();
        let before = fs::metadata(&path).unwrap().ino();
        in_place(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    }
}
