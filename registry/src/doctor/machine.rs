//! The machine: folder, disk, limits, ports.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rustix::process::{Resource, geteuid, getrlimit};
use tokio::net::TcpListener;

use super::Look;
use crate::config::{Backend, Config, Database};

const ABOUT: &str = "data directory";
/// Fewer descriptors than this are used up by a few hundred connections.
const FEW: u64 = 4096;

/// The data directory and the disk that it is on.
pub(super) async fn data(config: &Config) -> Vec<Look> {
    let dir = config.data.dir.clone();
    let reserve = config.storage.reserve.0;
    let everything = matches!(config.storage.backend(), Backend::Filesystem);
    let database = matches!(config.catalog.database(), Database::Sqlite);
    let looked = tokio::task::spawn_blocking(move || folder(&dir, reserve, everything || database)).await;
    looked.unwrap_or_else(|error| vec![Look::failure(ABOUT, error.to_string())])
}

fn folder(dir: &Path, reserve: u64, kept: bool) -> Vec<Look> {
    let shown = dir.display();
    let found = match fs::metadata(dir) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return vec![Look::failure(ABOUT, format!("{shown} is no folder"))],
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = dir.ancestors().find(|parent| parent.is_dir());
            let writable = parent.is_some_and(|parent| {
                rustix::fs::access(parent, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
            });
            return vec![if writable {
                Look::ok(ABOUT, format!("{shown} is not there yet; the first start makes it"))
            } else {
                let why = format!("{shown} is not there and cannot be made: make it, or set data.dir");
                Look::failure(ABOUT, why)
            }];
        }
        Err(error) => return vec![Look::failure(ABOUT, format!("{shown}: {error}"))],
    };
    let mut looks = Vec::new();
    let (mode, owner) = (found.permissions().mode() & 0o777, found.uid());
    if owner != geteuid().as_raw() && !geteuid().is_root() {
        let why = format!("{shown} belongs to user {owner}; run this as the user who runs the registry");
        looks.push(Look::warning(ABOUT, why));
    } else if mode & 0o022 != 0 {
        let why = format!("others may write to {shown} (mode {mode:o}): chmod 700 {shown}");
        looks.push(Look::warning(ABOUT, why));
    } else {
        looks.push(Look::ok(ABOUT, format!("{shown}, mode {mode:o}")));
    }
    looks.push(match durable(dir) {
        Ok(()) => Look::ok("fsync", "a file can be written, made durable, renamed and deleted"),
        Err(error) => Look::failure("fsync", format!("{shown}: {error}")),
    });
    looks.push(space(dir, reserve));
    looks.push(kind(dir, kept));
    looks
}

fn durable(dir: &Path) -> io::Result<()> {
    let (from, to) = (dir.join(".doctor"), dir.join(".doctor-renamed"));
    let tried = (|| {
        fs::write(&from, b"doctor")?;
        File::open(&from)?.sync_all()?;
        fs::rename(&from, &to)?;
        File::open(dir)?.sync_all()
    })();
    for path in [&from, &to] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound && tried.is_ok() => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    tried
}

fn space(dir: &Path, reserve: u64) -> Look {
    const ABOUT: &str = "free space";
    let stat = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => return Look::failure(ABOUT, format!("{}: {error}", dir.display())),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let total = stat.f_blocks.saturating_mul(stat.f_frsize).max(1);
    let says = format!("{} MiB of {} MiB", free >> 20, total >> 20);
    if free < reserve {
        let why = format!("{says}, less than storage.reserve: pushes are refused until some is freed");
        return Look::failure(ABOUT, why);
    }
    if free.saturating_mul(20) < total {
        return Look::warning(ABOUT, format!("{says}, less than a twentieth"));
    }
    Look::ok(ABOUT, says)
}

/// What a file system is called, by the number that the kernel gives it, and what is wrong with it for a registry.
const KINDS: &[(u32, &str, Option<&str>)] = &[
    (0xEF53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0x9123_683E, "btrfs", None),
    (0x2FC1_2FC1, "zfs", None),
    (0x6969, "NFS", Some("locks and fsync of a network file system cannot be relied on for a database")),
    (
        0xFF53_4D42,
        "CIFS",
        Some("locks and fsync of a network file system cannot be relied on for a database"),
    ),
    (0xFE53_4D42, "SMB", Some("locks and fsync of a network file system cannot be relied on for a database")),
    (0x6573_5546, "FUSE", Some("whether it keeps what was fsynced depends on who serves it")),
    (0x0102_1994, "tmpfs", Some("it is memory: nothing survives a restart of the machine")),
    (
        0x794C_7630,
        "overlayfs",
        Some("it is a container's own layer: mount a volume, or it goes with the container"),
    ),
];

fn kind(dir: &Path, kept: bool) -> Look {
    const ABOUT: &str = "file system";
    let stat = match rustix::fs::statfs(dir) {
        Ok(stat) => stat,
        Err(error) => return Look::failure(ABOUT, format!("{}: {error}", dir.display())),
    };
    let magic = u32::try_from(stat.f_type).unwrap_or_default();
    match KINDS.iter().find(|(number, ..)| *number == magic) {
        Some((_, name, Some(why))) if kept => Look::warning(ABOUT, format!("{name}: {why}")),
        Some((_, name, _)) => Look::ok(ABOUT, *name),
        None => Look::ok(ABOUT, format!("of kind {magic:#x}")),
    }
}

/// How many files and connections the process may have open.
pub(super) fn descriptors() -> Look {
    const ABOUT: &str = "descriptors";
    let limit = getrlimit(Resource::Nofile);
    match limit.maximum {
        Some(most) if most < FEW => {
            let why = format!(
                "{most} at most, which few hundred connections use up: raise the limit (LimitNOFILE=65536)"
            );
            Look::warning(ABOUT, why)
        }
        Some(most) => Look::ok(ABOUT, format!("{most} at most")),
        None => Look::ok(ABOUT, "no limit"),
    }
}

/// Whether the addresses can be listened on.
pub(super) async fn ports(config: &Config, running: bool) -> Vec<Look> {
    const ABOUT: &str = "port";
    let mut looks = Vec::new();
    for address in config.server.listen.iter().copied().chain(config.metrics.listen.0) {
        looks.push(match TcpListener::bind(address).await {
            Ok(_) => Look::ok(ABOUT, format!("{address} is free")),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && running => {
                Look::ok(ABOUT, format!("{address} is in use, as it is when the registry runs"))
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Look::failure(ABOUT, format!("{address} is used by another program: `ss -ltnp` names it"))
            }
            Err(error) => Look::failure(ABOUT, format!("{address} cannot be listened on: {error}")),
        });
    }
    looks
}
