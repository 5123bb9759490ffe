//! `--mount` by its keys.

use super::mounts::{anonymous, mount, parse_destination, parse_option, parse_source};
use crate::record::{
    Mount, MountKind, Relabel,
    parse::{self, Parsed},
};

/// `size` and `mode` of memory.
pub(super) fn memory(found: &mut Mount, key: &str, value: &str) -> Parsed<()> {
    let MountKind::Tmpfs { size, mode } = &mut found.kind else {
        return Err(format!("{key} is for type=tmpfs"));
    };
    if key.ends_with("size") {
        *size = Some(parse::bytes(value)?);
    } else {
        let octal = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
        *mode = Some(octal.ok_or_else(|| format!("{key}={value}: is no octal mode, as 1777 is one"))?);
    }
    Ok(())
}

fn kind(name: &str, source: Option<&str>) -> Parsed<MountKind> {
    match (name, source) {
        ("bind", Some(source)) if source.starts_with(['/', '.']) => {
            Ok(MountKind::Bind { source: parse_source(source)? })
        }
        ("bind", Some(source)) => {
            Err(format!("source={source}: a folder of the machine begins with / or ./"))
        }
        ("bind", None) => Err("type=bind has no source=".into()),
        ("volume", None | Some("")) => Ok(anonymous()),
        ("volume", Some(name)) => {
            crate::record::check_name(name).map_err(|error| error.to_string())?;
            Ok(MountKind::Volume { name: name.into(), anonymous: false, no_copy: false, subpath: None })
        }
        ("tmpfs", None) => Ok(MountKind::Tmpfs { size: None, mode: None }),
        ("tmpfs", Some(_)) => Err("type=tmpfs has no source".into()),
        (known @ ("image" | "devpts" | "ramfs" | "glob" | "npipe"), _) => {
            Err(format!("type={known} is not built: bind, volume or tmpfs"))
        }
        (other, _) => Err(format!("type={other}: is none of bind, volume and tmpfs")),
    }
}

fn key(found: &mut Mount, key: &str, value: Option<&str>) -> Parsed<()> {
    let on = || value.map_or(Ok(true), parse::truth);
    match key {
        "ro" | "readonly" => found.read_only = on()?,
        "rw" => found.read_only = !on()?,
        "U" | "chown" => found.chown = on()?,
        "bind-propagation" => parse_option(found, value.unwrap_or_default())?,
        "bind-nonrecursive" => {
            if on()? {
                found.options.push("bind".into());
            }
        }
        "relabel" => {
            found.relabel = match value {
                Some("shared") => Some(Relabel::Shared),
                Some("private") => Some(Relabel::Private),
                _ => return Err("relabel= is shared or private".into()),
            };
        }
        "volume-nocopy" => {
            if on()? {
                parse_option(found, "nocopy")?;
            }
        }
        "volume-subpath" | "subpath" => match &mut found.kind {
            MountKind::Volume { subpath, .. } => *subpath = value.map(Into::into),
            MountKind::Bind { .. } | MountKind::Tmpfs { .. } | MountKind::Secret { .. } => {
                return Err(format!("{key} is for type=volume"));
            }
        },
        "tmpfs-size" | "tmpfs-mode" => memory(found, key, value.unwrap_or_default())?,
        "tmpcopyup" | "notmpcopyup" => {
            if (key == "tmpcopyup") == on()? {
                found.options.push("tmpcopyup".into());
            }
        }
        "consistency" => {}
        "volume-opt" | "volume-driver" | "volume-label" => return Err(format!("{key} is not built")),
        other if value.is_none() => parse_option(found, other)?,
        other => return Err(format!("{other:?} is no key of a mount")),
    }
    Ok(())
}

/// `type=bind,source=/here,destination=/there,ro`. The kind is podman's default, a volume, where it is not said.
pub(super) fn parse(text: &str) -> Parsed<Mount> {
    let pairs: Vec<(&str, Option<&str>)> = text
        .split(',')
        .map(|part| part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value))))
        .collect();
    let last =
        |keys: &[&str]| pairs.iter().rev().find(|(key, _)| keys.contains(key)).and_then(|(_, value)| *value);
    let source = last(&["source", "src"]);
    let place =
        last(&["destination", "dst", "target"]).ok_or_else(|| format!("{text:?} has no destination="))?;
    let mut found = mount(parse_destination(place)?, kind(last(&["type"]).unwrap_or("volume"), source)?);
    let named = ["type", "source", "src", "destination", "dst", "target"];
    for (name, value) in pairs.iter().filter(|(key, _)| !named.contains(key)) {
        key(&mut found, name, *value)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_said_by_keys() {
        let bind =
            parse("type=bind,src=/etc,target=/host,ro,bind-propagation=rslave,relabel=private").unwrap();
        assert_eq!(bind.kind, MountKind::Bind { source: "/etc".into() });
        assert!(bind.read_only && bind.relabel == Some(Relabel::Private) && bind.options == ["rslave"]);
        let volume = parse("source=data,dst=/srv,volume-nocopy,subpath=a/b,readonly=false").unwrap();
        assert!(!volume.read_only);
        assert!(matches!(volume.kind, MountKind::Volume { no_copy: true, subpath: Some(_), .. }));
        let memory = parse("type=tmpfs,destination=/tmp,tmpfs-size=1m,tmpfs-mode=700,noexec").unwrap();
        assert_eq!(memory.kind, MountKind::Tmpfs { size: Some(1 << 20), mode: Some(0o700) });
        assert_eq!(memory.options, ["noexec"]);
        for bad in [
            "type=bind,dst=/a",
            "type=bind,src=etc,dst=/a",
            "type=bind,src=/etc",
            "type=image,src=x,dst=/a",
            "type=nope,dst=/a",
            "type=tmpfs,dst=/a,bind-propagation=nope",
            "type=bind,src=/etc,dst=/a,tmpfs-size=1",
            "type=bind,src=/etc,dst=/a,nope=1",
            "type=volume,src=a/b,dst=/a",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
