//! What is mounted, and devices.

use std::path::{Component, Path, PathBuf};

use clap::Args;

use super::{Surroundings, mount_key};
use crate::{
    record::{
        Desired, Device, Mount, MountKind, Relabel,
        parse::{Faults, Parsed},
    },
    secret,
};

/// Flags of mounts and devices.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Mounts and devices")]
pub(crate) struct MountFlags {
    /// Mount a folder or file of the machine, or a volume
    #[arg(short, long, value_name = "[SOURCE:]PATH[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// Mount by keys: type=bind|volume|tmpfs,source=,destination=,...
    #[arg(long, value_name = "KEYS")]
    pub(crate) mount: Vec<String>,
    /// Mount what another container has mounted
    #[arg(long, value_name = "CONTAINER[:OPTIONS]", value_delimiter = ',')]
    pub(crate) volumes_from: Vec<String>,
    /// Mount memory
    #[arg(long, value_name = "PATH[:OPTIONS]")]
    pub(crate) tmpfs: Vec<String>,
    /// Volumes that the image asks for: bind (a volume each), tmpfs or ignore
    #[arg(long, value_name = "KIND", default_value = "bind")]
    pub(crate) image_volume: String,
    /// Give it a device of the machine
    #[arg(long, value_name = "DEVICE[:PATH[:rwm]]", value_delimiter = ',')]
    pub(crate) device: Vec<String>,
    /// Give it a secret: NAME[,type=mount|env,target=,uid=,gid=,mode=]
    #[arg(long, value_name = "SECRET")]
    pub(crate) secret: Vec<String>,
}

/// An absolute path without `..`, its `.` and doubled slashes taken out.
pub(super) fn parse_destination(text: &str) -> Parsed<PathBuf> {
    let path = Path::new(text);
    let wrong = |why: &str| Err(format!("{text:?} {why}"));
    if !path.is_absolute() {
        return wrong("is no path in the container: it begins with /");
    }
    if path.components().any(|part| part == Component::ParentDir) || text.contains('\0') {
        return wrong("leads upwards");
    }
    let clean: PathBuf = path.components().collect();
    if clean == Path::new("/") {
        wrong("is the container's root, which cannot be mounted over")
    } else {
        Ok(clean)
    }
}

/// A path of the machine: absolute, or from here where it begins with a dot.
pub(super) fn parse_source(text: &str) -> Parsed<PathBuf> {
    let path = std::path::absolute(text).map_err(|error| format!("{text:?}: {error}"))?;
    // What does not exist is never made: a typing error is no empty folder.
    std::fs::canonicalize(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// One option of a mount.
pub(super) fn parse_option(mount: &mut Mount, word: &str) -> Parsed<()> {
    match word {
        "" | "idmap" => {}
        "ro" | "readonly" => mount.read_only = true,
        "rw" => mount.read_only = false,
        "z" => mount.relabel = Some(Relabel::Shared),
        "Z" => mount.relabel = Some(Relabel::Private),
        "U" => mount.chown = true,
        "nocopy" | "copy" => match &mut mount.kind {
            MountKind::Volume { no_copy, .. } => *no_copy = word == "nocopy",
            MountKind::Bind { .. } | MountKind::Tmpfs { .. } | MountKind::Secret { .. } => {
                return Err(format!("{word} is for volumes"));
            }
        },
        "O" => {
            return Err(
                "overlays over folders of the machine (O) are not built: mount it :ro, or a copy".into()
            );
        }
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable"
        | "bind" | "rbind" | "exec" | "noexec" | "dev" | "nodev" | "suid" | "nosuid" | "noatime"
        | "relatime" | "nodiratime" => {
            mount.options.push(word.to_owned());
        }
        other => return Err(format!("{other:?} is no option of a mount")),
    }
    Ok(())
}

pub(super) fn mount(destination: PathBuf, kind: MountKind) -> Mount {
    Mount { destination, kind, read_only: false, options: Vec::new(), chown: false, relabel: None }
}

fn named(name: &str) -> MountKind {
    MountKind::Volume { name: name.to_owned(), anonymous: false, no_copy: false, subpath: None }
}

/// A volume that gets its name, and comes to be, when the container is created.
pub(super) fn anonymous() -> MountKind {
    MountKind::Volume { name: String::new(), anonymous: true, no_copy: false, subpath: None }
}

/// `[SOURCE:]PATH[:OPTIONS]`.
pub(super) fn volume(text: &str) -> Parsed<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (from, to, options) = match parts.as_slice() {
        [to] => (None, *to, ""),
        [from, to] => (Some(*from), *to, ""),
        [from, to, options] => (Some(*from), *to, *options),
        _ => return Err(format!("{text:?} has more than SOURCE:PATH:OPTIONS")),
    };
    let kind = match from {
        None => anonymous(),
        Some(from) if from.starts_with(['/', '.']) => MountKind::Bind { source: parse_source(from)? },
        Some(from) => {
            crate::record::check_name(from).map_err(|_| {
                format!("{from:?} is no volume's name; a folder of the machine begins with / or ./")
            })?;
            named(from)
        }
    };
    let mut found = mount(parse_destination(to)?, kind);
    options.split(',').try_for_each(|word| parse_option(&mut found, word))?;
    Ok(found)
}

/// `PATH[:OPTIONS]`.
pub(super) fn tmpfs(text: &str) -> Parsed<Mount> {
    let (to, options) = text.split_once(':').unwrap_or((text, ""));
    let mut found = mount(parse_destination(to)?, MountKind::Tmpfs { size: None, mode: None });
    let mut copy_up = true;
    for word in options.split(',') {
        match word.split_once('=') {
            Some((key @ ("size" | "mode"), value)) => mount_key::memory(&mut found, key, value)?,
            Some((key, _)) => {
                return Err(format!(
                    "{key:?} is no option of a tmpfs: size, mode, ro, noexec, nosuid, nodev"
                ));
            }
            None if word == "tmpcopyup" || word == "notmpcopyup" => copy_up = word == "tmpcopyup",
            None => parse_option(&mut found, word)?,
        }
    }
    if copy_up {
        found.options.push("tmpcopyup".into());
    }
    Ok(found)
}

/// `NAME[,type=,target=,uid=,gid=,mode=]`: a file, or a variable.
fn secret_of(text: &str, surroundings: &Surroundings<'_>, desired: &mut Desired) -> Parsed<()> {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    secret::inspect(surroundings.folders, name).map_err(|error| error.to_string())?;
    let (mut kind, mut target, mut uid, mut gid, mut mode) = ("mount", None, 0, 0, 0o444);
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is no KEY=VALUE"))?;
        let id = || value.parse::<u32>().map_err(|_| format!("{key}={value}: is no id"));
        match key {
            "type" => kind = value,
            "target" => target = Some(value),
            "uid" => uid = id()?,
            "gid" => gid = id()?,
            "mode" => {
                let octal = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                mode = octal.ok_or_else(|| format!("mode={value}: is no octal mode, as 0400 is one"))?;
            }
            _ => return Err(format!("{key:?} is none of type, target, uid, gid and mode")),
        }
    }
    match kind {
        "env" => {
            desired.process.secret_env.push((name.to_owned(), target.unwrap_or(name).to_owned()));
        }
        "mount" => {
            let place = match target {
                None => format!("/run/secrets/{name}"),
                Some(target) if target.starts_with('/') => target.to_owned(),
                Some(target) => format!("/run/secrets/{target}"),
            };
            let kind = MountKind::Secret { name: name.to_owned(), uid, gid, mode };
            desired.mounts.push(mount(parse_destination(&place)?, kind));
        }
        other => return Err(format!("type={other}: is neither mount nor env")),
    }
    Ok(())
}

/// `DEVICE[:PATH][:rwm]`.
pub(super) fn device(text: &str) -> Parsed<Device> {
    let mut parts = text.split(':');
    let from = parts.next().unwrap_or_default();
    if !from.starts_with('/') {
        return Err(format!("{from:?} is no device's path; devices by CDI names are not built"));
    }
    let source = parse_source(from)?;
    let mut found = Device { source, destination: parse_destination(from)?, access: "rwm".into() };
    let is_access = |part: &str| !part.is_empty() && part.chars().all(|c| "rwm".contains(c));
    for part in parts {
        if is_access(part) {
            part.clone_into(&mut found.access);
        } else {
            found.destination = parse_destination(part)?;
        }
    }
    Ok(found)
}

impl MountFlags {
    pub(super) fn apply(&self, surroundings: &Surroundings<'_>, desired: &mut Desired, faults: &mut Faults) {
        let mut found = Vec::new();
        found.extend(self.volume.iter().filter_map(|text| faults.take("--volume", volume(text))));
        found.extend(self.mount.iter().filter_map(|text| faults.take("--mount", mount_key::parse(text))));
        found.extend(self.tmpfs.iter().filter_map(|text| faults.take("--tmpfs", tmpfs(text))));
        for (at, one) in found.iter().enumerate() {
            if found[..at].iter().any(|other| other.destination == one.destination) {
                faults.add(
                    "--volume, --mount, --tmpfs",
                    format!("two mounts at {}", one.destination.display()),
                );
            }
            if let MountKind::Bind { source } = &one.kind
                && surroundings.folders.owns(source)
            {
                faults.add(
                    "--volume, --mount",
                    format!(
                        "{} is of this program's own store, which no container may have",
                        source.display()
                    ),
                );
            }
        }
        for text in &self.volumes_from {
            let others = faults.take("--volumes-from", volumes_from(text, surroundings)).unwrap_or_default();
            // What is said of a path here is said of it.
            let fresh = others
                .into_iter()
                .filter(|other| found.iter().all(|one| one.destination != other.destination));
            let fresh: Vec<Mount> = fresh.collect();
            found.extend(fresh);
        }
        desired.mounts = found;
        for text in &self.secret {
            faults.take("--secret", secret_of(text, surroundings, desired));
        }
        desired.devices =
            self.device.iter().filter_map(|text| faults.take("--device", device(text))).collect();
        if !["bind", "anonymous", "tmpfs", "ignore"].contains(&self.image_volume.as_str()) {
            faults
                .add("--image-volume", format!("{:?} is none of bind, tmpfs and ignore", self.image_volume));
        }
    }
}

fn volumes_from(text: &str, surroundings: &Surroundings<'_>) -> Parsed<Vec<Mount>> {
    let (name, options) = text.split_once(':').unwrap_or((text, ""));
    let container = surroundings.records.find(name).map_err(|error| error.to_string())?;
    let kept = container.mounts.into_iter().filter(|mount| match mount.kind {
        MountKind::Bind { .. } | MountKind::Volume { .. } => true,
        MountKind::Tmpfs { .. } | MountKind::Secret { .. } => false,
    });
    let change = |mut mount: Mount| {
        options.split(',').try_for_each(|word| match word {
            "" | "ro" | "rw" | "z" => parse_option(&mut mount, word),
            other => Err(format!("{other:?} is none of ro, rw and z")),
        })?;
        Ok(mount)
    };
    kept.map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_folders_names_or_neither() {
        let folder = volume("/etc:/host:ro,z,rshared").unwrap();
        assert_eq!(folder.kind, MountKind::Bind { source: "/etc".into() });
        assert!(folder.read_only && folder.relabel == Some(Relabel::Shared) && folder.options == ["rshared"]);
        assert_eq!(volume("data:/srv/./data/").unwrap().destination, Path::new("/srv/data"));
        assert_eq!(volume("data:/srv").unwrap().kind, named("data"));
        assert_eq!(volume("/srv").unwrap().kind, anonymous());
        assert!(volume("data:/srv:U").unwrap().chown);
        let no_copy = volume("data:/srv:nocopy").unwrap();
        assert!(matches!(no_copy.kind, MountKind::Volume { no_copy: true, .. }));
        let here = std::env::current_dir().unwrap();
        assert_eq!(volume(".:/srv").unwrap().kind, MountKind::Bind { source: here });
        for bad in [
            "a/b:/srv",
            "/etc:srv",
            "/etc:/",
            "/etc:/a/../..",
            "/nowhere/at/all:/srv",
            "a:/b:ro:x",
            "/etc:/a:nope",
            "/etc:/a:O",
            "/etc:/a:nocopy",
            "",
        ] {
            assert!(volume(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn memory_has_a_size_and_a_mode() {
        let memory = tmpfs("/tmp:size=64m,mode=700,noexec").unwrap();
        assert_eq!(memory.kind, MountKind::Tmpfs { size: Some(64 << 20), mode: Some(0o700) });
        assert_eq!(memory.options, ["noexec", "tmpcopyup"]);
        assert!(tmpfs("/tmp:notmpcopyup").unwrap().options.is_empty());
        for bad in ["tmp", "/tmp:uid=0", "/tmp:size=x", "/tmp:mode=9"] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn devices_have_a_place_and_an_access() {
        assert_eq!(device("/dev/null").unwrap().access, "rwm");
        let other = device("/dev/null:/dev/nothing:r").unwrap();
        assert_eq!((other.destination, other.access), (PathBuf::from("/dev/nothing"), "r".to_owned()));
        assert_eq!(device("/dev/null:rw").unwrap().access, "rw");
        for bad in ["null", "vendor.com/gpu=0", "/dev/no-such-device", "/dev/null:x"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
